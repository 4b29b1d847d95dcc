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
// Groups of a thread from which on it takes all parts of each. Sums of many rows leave the caches where those
// of all parts are kept: there one is enough.
constexpr std::int64_t kGroupsOfThread = 4;
constexpr std::int64_t kFewRows = 16;
constexpr std::int64_t kLine = 16;  // floats of a cache line

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

// The operation in pieces: for each head of the cache, some lanes at a time (a group), some cells at a time
// (a part).
struct Plan {
  CachedHead head;  // without k and v
  std::int64_t n_heads = 0;
  std::int64_t shared = 0;  // heads of a lane that share one of the cache
  std::int64_t n_lanes = 0;
  std::int64_t lanes = 0;  // at a time
  std::int64_t n_cells = 0;
  bool divided = false;  // parts of a group are different threads'
  float scale = 1;

  [[nodiscard]] std::int64_t rows() const { return lanes * shared; }
  [[nodiscard]] std::int64_t n_lane_parts() const { return (n_lanes + lanes - 1) / lanes; }
  [[nodiscard]] std::int64_t n_parts() const { return (n_cells + kPart - 1) / kPart; }
  [[nodiscard]] std::int64_t n_groups() const { return n_heads * n_lane_parts(); }
  [[nodiscard]] std::int64_t n_blocks() const { return (n_cells + kCells - 1) / kCells; }
  // Floats of a thread: queries and scratch.
  [[nodiscard]] std::int64_t of_thread() const {
    return rounded_up(rows() * head.dk + attention_scratch(rows(), head.dk, head.dv), kLine);
  }
  // Floats of the sums of a part.
  [[nodiscard]] std::int64_t of_part() const { return rounded_up(rows() * (head.dv + 2), kLine); }
  // Floats of the sums that are kept at a time: of all parts, or of a thread's part and of what it has of the
  // group.
  [[nodiscard]] std::int64_t of_sums(std::int64_t n_threads) const {
    return (divided ? n_groups() * n_parts() : 2 * n_threads) * of_part();
  }
  [[nodiscard]] std::int64_t of_seen() const {
    return rounded_up(n_lanes * n_blocks() * static_cast<std::int64_t>(sizeof(Seen) / sizeof(float)), kLine);
  }
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
  const std::int64_t enough = plan->rows() > kFewRows ? 1 : kGroupsOfThread;
  plan->divided = plan->n_groups() < enough * n_threads && plan->n_parts() > 1;
  return true;
}

Attended attended_at(const Plan& plan, float* from) {
  return {from, from + plan.rows(), from + 2 * plan.rows()};
}

void clear(const Plan& plan, const Attended& sums) {
  std::fill(sums.most, sums.most + plan.rows(), -INFINITY);
  std::fill(sums.weight, sums.sum + plan.rows() * plan.head.dv, 0.0F);
}

// Adds the sums of the part that comes next. Not inlined: one code, one order of roundings, whoever calls.
__attribute__((noinline)) void add_part(const Attended& part, std::int64_t row, std::int64_t dv,
                                        const Attended& to) {
  if (part.weight[row] == 0) return;
  const float* from = part.sum + row * dv;
  float* sum = to.sum + row * dv;
  if (to.weight[row] == 0) {
    to.most[row] = part.most[row];
    to.weight[row] = part.weight[row];
    std::copy(from, from + dv, sum);
    return;
  }
  const float most = std::max(to.most[row], part.most[row]);
  const float old_factor = std::exp(to.most[row] - most);
  const float new_factor = std::exp(part.most[row] - most);
  to.most[row] = most;
  to.weight[row] = old_factor * to.weight[row] + new_factor * part.weight[row];
  for (std::int64_t d = 0; d < dv; ++d) sum[d] = old_factor * sum[d] + new_factor * from[d];
}

// A row of a group's result.
void finish(const Plan& plan, ggml_tensor* op, std::int64_t group, std::int64_t row, const Attended& sums) {
  const std::int64_t head = group / plan.n_lane_parts();
  const std::int64_t lane = group % plan.n_lane_parts() * plan.lanes + row / plan.shared;
  if (lane >= plan.n_lanes) return;
  auto* out =
      reinterpret_cast<float*>(static_cast<char*>(op->data) + static_cast<std::size_t>(lane) * op->nb[2] +
                               static_cast<std::size_t>(head * plan.shared + row % plan.shared) * op->nb[1]);
  const float weight = sums.weight[row];
  const float* sum = sums.sum + row * plan.head.dv;
  for (std::int64_t d = 0; d < plan.head.dv; ++d) out[d] = weight == 0 ? 0.0F : sum[d] / weight;
}

// The work of one group: its head of the cache, its queries in `own`.
Queries begin_group(const Plan& plan, const ggml_tensor* op, std::int64_t group, const Seen* seen, float* own,
                    CachedHead* head) {
  const ggml_tensor* q = op->src[0];
  const ggml_tensor* k = op->src[1];
  const ggml_tensor* v = op->src[2];
  const ggml_tensor* mask = op->src[3];
  const std::int64_t head_index = group / plan.n_lane_parts();
  const std::int64_t first_lane = group % plan.n_lane_parts() * plan.lanes;
  *head = plan.head;
  head->k = static_cast<const char*>(k->data) + static_cast<std::size_t>(head_index) * k->nb[2];
  head->v = static_cast<const char*>(v->data) + static_cast<std::size_t>(head_index) * v->nb[2];
  Queries queries;
  queries.q = own;
  queries.n_lanes = static_cast<std::int32_t>(std::min(plan.lanes, plan.n_lanes - first_lane));
  queries.n_heads = static_cast<std::int32_t>(plan.shared);
  queries.n_blocks = plan.n_blocks();
  queries.seen = seen + first_lane * queries.n_blocks;
  if (mask != nullptr) {
    queries.mask = static_cast<const char*>(mask->data) + static_cast<std::size_t>(first_lane) * mask->nb[1];
    queries.mask_stride = mask->nb[1];
  }
  float* to = own;
  for (std::int64_t lane = 0; lane < queries.n_lanes; ++lane) {
    for (std::int64_t h = 0; h < plan.shared; ++h, to += head->dk) {
      const auto* from = reinterpret_cast<const float*>(
          static_cast<const char*>(q->data) + static_cast<std::size_t>(first_lane + lane) * q->nb[1] +
          static_cast<std::size_t>(head_index * plan.shared + h) * q->nb[2]);
      for (std::int64_t d = 0; d < head->dk; ++d) to[d] = plan.scale * from[d];
    }
  }
  return queries;
}

}  // namespace

bool flash_work_size(const Kernels& kernels, int n_threads, const ggml_tensor* op, std::size_t* size) {
  Plan plan;
  if (!make_plan(kernels, n_threads, op, &plan)) return false;
  *size = sizeof(float) * static_cast<std::size_t>(n_threads * plan.of_thread() + plan.of_sums(n_threads) +
                                                   plan.of_seen() + kLine);
  return true;
}

bool flash_forward(const Kernels& kernels, ggml_compute_params* params, ggml_tensor* op) {
  Plan plan;
  if (!make_plan(kernels, params->nth, op, &plan)) return false;
  float* own = static_cast<float*>(params->wdata) + params->ith * plan.of_thread();
  float* parts = static_cast<float*>(params->wdata) + params->nth * plan.of_thread();
  auto* seen = reinterpret_cast<Seen*>(parts + plan.of_sums(params->nth));
  const ggml_tensor* mask = op->src[3];
  for (std::int64_t lane = params->ith; lane < plan.n_lanes; lane += params->nth) {
    const auto* halves = mask == nullptr ? nullptr : static_cast<const char*>(mask->data);
    kernels.see(halves == nullptr ? nullptr : halves + static_cast<std::size_t>(lane) * mask->nb[1],
                plan.n_cells, seen + lane * plan.n_blocks());
  }
  if (params->ith == 0) ggml_threadpool_chunk_set(params->threadpool, params->nth);
  ggml_barrier(params->threadpool);

  const std::int64_t n_parts = plan.n_parts();
  const std::int64_t n_units = plan.n_groups() * (plan.divided ? n_parts : 1);
  float* scratch = own + plan.rows() * plan.head.dk;
  CachedHead head;
  for (std::int64_t i = params->ith; i < n_units; i = ggml_threadpool_chunk_add(params->threadpool, 1)) {
    const std::int64_t group = plan.divided ? i / n_parts : i;
    const Queries queries = begin_group(plan, op, group, seen, own, &head);
    const Attended part = attended_at(plan, parts + (plan.divided ? i : 2 * params->ith) * plan.of_part());
    if (plan.divided) {
      clear(plan, part);
      const std::int64_t begin = i % n_parts * kPart;
      kernels.attend(head, queries, begin, begin + kPart, part, scratch);
      continue;
    }
    const Attended sums = attended_at(plan, parts + (2 * params->ith + 1) * plan.of_part());
    clear(plan, sums);
    for (std::int64_t p = 0; p < n_parts; ++p) {
      clear(plan, part);
      kernels.attend(head, queries, p * kPart, (p + 1) * kPart, part, scratch);
      for (std::int64_t r = 0; r < plan.rows(); ++r) add_part(part, r, plan.head.dv, sums);
    }
    for (std::int64_t r = 0; r < plan.rows(); ++r) finish(plan, op, group, r, sums);
  }
  if (!plan.divided) return true;
  ggml_barrier(params->threadpool);
  // The first part of each group takes up the others.
  const std::int64_t n_rows = plan.n_groups() * plan.rows();
  const std::int64_t last = n_rows * (params->ith + 1) / params->nth;
  for (std::int64_t i = n_rows * params->ith / params->nth; i < last; ++i) {
    const std::int64_t group = i / plan.rows();
    const std::int64_t r = i % plan.rows();
    const Attended sums = attended_at(plan, parts + group * n_parts * plan.of_part());
    for (std::int64_t p = 1; p < n_parts; ++p) {
      const Attended part = attended_at(plan, parts + (group * n_parts + p) * plan.of_part());
      add_part(part, r, plan.head.dv, sums);
    }
    finish(plan, op, group, r, sums);
  }
  return true;
}

}  // namespace aspd::kernels
