#include "flash.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "ggml-cpu-impl.h"
#include "ggml-cpu.h"
#include "ggml.h"

namespace aspd::kernels {

namespace {

constexpr std::int64_t kRowsAtOnce = kMostLanes;  // lanes times heads
constexpr std::int64_t kPartsOfThread = 4;
constexpr std::int64_t kFewestCells = 4 * kCells;  // of a part
constexpr std::int64_t kLine = 16;                 // floats of a cache line

std::int64_t rounded_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

void copy_floats(const void* from, float* to, std::int64_t n) {
  std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(float));
}

// How to make floats of a type; null for halves. False: there is no way.
bool find_to_float(ggml_type type, CachedHead::ToFloat* to_float) {
  *to_float = type == GGML_TYPE_F32 ? copy_floats : ggml_get_type_traits(type)->to_float;
  if (*to_float == nullptr) return false;
  if (type == GGML_TYPE_F16) *to_float = nullptr;
  return true;
}

// The operation in parts: for each head of the cache, some lanes at a time, some cells at a time.
struct Plan {
  CachedHead head;  // without k and v
  std::int64_t n_heads = 0;
  std::int64_t shared = 0;  // heads of a lane that share one of the cache
  std::int64_t n_lanes = 0;
  std::int64_t lanes = 0;  // at a time
  std::int64_t n_cells = 0;
  std::int64_t cells = 0;  // at a time
  float scale = 1;

  [[nodiscard]] std::int64_t rows() const { return lanes * shared; }
  [[nodiscard]] std::int64_t n_lane_parts() const { return (n_lanes + lanes - 1) / lanes; }
  [[nodiscard]] std::int64_t n_cell_parts() const { return (n_cells + cells - 1) / cells; }
  [[nodiscard]] std::int64_t n_groups() const { return n_heads * n_lane_parts(); }
  // Floats of a thread: queries and scratch.
  [[nodiscard]] std::int64_t of_thread() const {
    return rounded_up(rows() * head.dk + attention_scratch(rows(), head.dk, head.dv), kLine);
  }
  // Floats of the sums of a part.
  [[nodiscard]] std::int64_t of_part() const { return rounded_up(rows() * (head.dv + 2), kLine); }
};

bool has_rows(const ggml_tensor* cached) {
  return cached->ne[3] == 1 && cached->nb[0] == ggml_type_size(cached->type) &&
         cached->ne[0] % kHeadStep == 0;
}

bool make_plan(const Kernels& kernels, int n_threads, const ggml_tensor* op, Plan* plan) {
  if (op->op != GGML_OP_FLASH_ATTN_EXT || kernels.attend == nullptr) return false;
  const ggml_tensor* q = op->src[0];
  const ggml_tensor* k = op->src[1];
  const ggml_tensor* v = op->src[2];
  const ggml_tensor* mask = op->src[3];
  float parameters[3];  // scale, slope of ALiBi, cap of the scores
  std::memcpy(parameters, op->op_params, sizeof(parameters));
  if (op->src[4] != nullptr || parameters[1] != 0 || parameters[2] != 0) return false;
  if (q->type != GGML_TYPE_F32 || q->nb[0] != sizeof(float) || q->ne[3] != 1) return false;
  if (!has_rows(k) || !has_rows(v) || k->ne[2] != v->ne[2] || q->ne[2] % k->ne[2] != 0) return false;
  if (mask != nullptr && (mask->type != GGML_TYPE_F16 || mask->ne[2] != 1 || mask->ne[3] != 1 ||
                          mask->nb[0] != sizeof(ggml_fp16_t)))
    return false;
  if (!find_to_float(k->type, &plan->head.k_to_float) || !find_to_float(v->type, &plan->head.v_to_float))
    return false;
  plan->head.dk = k->ne[0];
  plan->head.dv = v->ne[0];
  plan->head.k_stride = k->nb[1];
  plan->head.v_stride = v->nb[1];
  plan->n_heads = k->ne[2];
  plan->shared = q->ne[2] / k->ne[2];
  plan->n_lanes = q->ne[1];
  plan->n_cells = k->ne[1];
  plan->scale = parameters[0];
  if (plan->n_lanes < 1 || plan->n_cells < 1) return false;
  plan->lanes = std::clamp(kRowsAtOnce / plan->shared, std::int64_t{1}, plan->n_lanes);
  const std::int64_t wanted = kPartsOfThread * n_threads;
  const std::int64_t parts = std::clamp((wanted + plan->n_groups() - 1) / plan->n_groups(), std::int64_t{1},
                                        std::max(std::int64_t{1}, plan->n_cells / kFewestCells));
  plan->cells = rounded_up((plan->n_cells + parts - 1) / parts, kCells);
  return true;
}

Attended attended_at(const Plan& plan, float* from) {
  return {from, from + plan.rows(), from + 2 * plan.rows()};
}

// Rows of the result of one group from the sums over each of its parts, `of_part` floats apart.
void finish(const Plan& plan, ggml_tensor* op, std::int64_t group, float* parts, std::int64_t n_parts,
            std::int64_t first_row, std::int64_t last_row) {
  const std::int64_t head = group / plan.n_lane_parts();
  const std::int64_t first_lane = group % plan.n_lane_parts() * plan.lanes;
  for (std::int64_t r = first_row; r < last_row; ++r) {
    const std::int64_t lane = first_lane + r / plan.shared;
    if (lane >= plan.n_lanes) return;
    auto* out =
        reinterpret_cast<float*>(static_cast<char*>(op->data) + static_cast<std::size_t>(lane) * op->nb[2] +
                                 static_cast<std::size_t>(head * plan.shared + r % plan.shared) * op->nb[1]);
    float most = -INFINITY;
    for (std::int64_t p = 0; p < n_parts; ++p)
      most = std::max(most, attended_at(plan, parts + p * plan.of_part()).most[r]);
    std::fill(out, out + plan.head.dv, 0.0F);
    float weight = 0;
    for (std::int64_t p = 0; p < n_parts; ++p) {
      const Attended part = attended_at(plan, parts + p * plan.of_part());
      if (part.weight[r] == 0) continue;
      const float factor = std::exp(part.most[r] - most);
      weight += factor * part.weight[r];
      const float* sum = part.sum + r * plan.head.dv;
      for (std::int64_t d = 0; d < plan.head.dv; ++d) out[d] += factor * sum[d];
    }
    if (weight == 0) continue;
    for (std::int64_t d = 0; d < plan.head.dv; ++d) out[d] /= weight;
  }
}

// The sums of one part of a group.
void compute_part(const Kernels& kernels, const Plan& plan, const ggml_tensor* op, std::int64_t group,
                  std::int64_t part, float* own, float* out) {
  const ggml_tensor* q = op->src[0];
  const ggml_tensor* k = op->src[1];
  const ggml_tensor* v = op->src[2];
  const ggml_tensor* mask = op->src[3];
  const std::int64_t head_index = group / plan.n_lane_parts();
  const std::int64_t first_lane = group % plan.n_lane_parts() * plan.lanes;
  CachedHead head = plan.head;
  head.k = static_cast<const char*>(k->data) + static_cast<std::size_t>(head_index) * k->nb[2];
  head.v = static_cast<const char*>(v->data) + static_cast<std::size_t>(head_index) * v->nb[2];
  Queries queries;
  queries.q = own;
  queries.n_lanes = static_cast<std::int32_t>(std::min(plan.lanes, plan.n_lanes - first_lane));
  queries.n_heads = static_cast<std::int32_t>(plan.shared);
  if (mask != nullptr) {
    queries.mask = static_cast<const char*>(mask->data) + static_cast<std::size_t>(first_lane) * mask->nb[1];
    queries.mask_stride = mask->nb[1];
  }
  float* to = own;
  for (std::int64_t lane = 0; lane < queries.n_lanes; ++lane) {
    for (std::int64_t h = 0; h < plan.shared; ++h, to += head.dk) {
      const auto* from = reinterpret_cast<const float*>(
          static_cast<const char*>(q->data) + static_cast<std::size_t>(first_lane + lane) * q->nb[1] +
          static_cast<std::size_t>(head_index * plan.shared + h) * q->nb[2]);
      for (std::int64_t d = 0; d < head.dk; ++d) to[d] = plan.scale * from[d];
    }
  }
  const Attended sums = attended_at(plan, out);
  std::fill(sums.most, sums.most + plan.rows(), -INFINITY);
  std::fill(sums.weight, sums.sum + plan.rows() * head.dv, 0.0F);
  const std::int64_t begin = part * plan.cells;
  kernels.attend(head, queries, begin, std::min(begin + plan.cells, plan.n_cells), sums,
                 own + plan.rows() * head.dk);
}

}  // namespace

bool flash_work_size(const Kernels& kernels, int n_threads, const ggml_tensor* op, std::size_t* size) {
  Plan plan;
  if (!make_plan(kernels, n_threads, op, &plan)) return false;
  // Where cells are not divided each thread keeps the sums of the group that it is at.
  const std::int64_t n_parts = plan.n_cell_parts() > 1 ? plan.n_groups() * plan.n_cell_parts() : n_threads;
  *size = sizeof(float) *
          static_cast<std::size_t>(n_threads * plan.of_thread() + n_parts * plan.of_part() + kLine);
  return true;
}

bool flash_forward(const Kernels& kernels, ggml_compute_params* params, ggml_tensor* op) {
  Plan plan;
  if (!make_plan(kernels, params->nth, op, &plan)) return false;
  float* own = static_cast<float*>(params->wdata) + params->ith * plan.of_thread();
  float* parts = static_cast<float*>(params->wdata) + params->nth * plan.of_thread();
  const std::int64_t n_cell_parts = plan.n_cell_parts();
  if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, params->nth);
  ggml_barrier(params->threadpool);
  for (std::int64_t i = params->ith; i < plan.n_groups() * n_cell_parts;
       i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
    const std::int64_t group = i / n_cell_parts;
    float* out = parts + (n_cell_parts > 1 ? i : params->ith) * plan.of_part();
    compute_part(kernels, plan, op, group, i % n_cell_parts, own, out);
    if (n_cell_parts == 1) finish(plan, op, group, out, 1, 0, plan.rows());
  }
  if (n_cell_parts == 1) return true;
  ggml_barrier(params->threadpool);
  const std::int64_t n_rows = plan.n_groups() * plan.rows();
  const std::int64_t last = n_rows * (params->ith + 1) / params->nth;
  for (std::int64_t r = n_rows * params->ith / params->nth; r < last;) {
    const std::int64_t group = r / plan.rows();
    const std::int64_t end = std::min(last, (group + 1) * plan.rows());
    finish(plan, op, group, parts + group * n_cell_parts * plan.of_part(), n_cell_parts, r % plan.rows(),
           end - group * plan.rows());
    r = end;
  }
  return true;
}

}  // namespace aspd::kernels
