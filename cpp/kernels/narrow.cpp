#include "narrow.h"

#include <algorithm>
#include <atomic>

#include "flash.h"
#include "ggml-backend-impl.h"
#include "ggml-cpu-impl.h"
#include "kernels.h"
#include "layouts.h"
#include "packing.h"
#include "plain_log_sum_exp.h"
#include "repack.h"
#include "traits.h"
#include "type_names.h"

namespace aspd::kernels {

namespace {

std::atomic<bool> enabled{true};
std::atomic<std::int64_t> products{0};
std::atomic<std::int64_t> attentions{0};

// Parts of a product that each thread takes in turn, so that one that is held up does not hold up all.
constexpr std::int64_t kPartsOfThread = 8;
constexpr std::int64_t kTile = 16;  // rows, so that parts end where the kernels' tiles do

struct Choice {
  Kernel kernel;
  Packing packing = Packing::kQ8_0;
};

struct Way {
  ggml_type type;
  Layout layout;
  Kernel Kernels::* kernel;
  Packing packing;
};
constexpr Way kWays[] = {
    {GGML_TYPE_Q4_0, Layout::kFile, &Kernels::q4_0, Packing::kQ8_0},
    {GGML_TYPE_Q4_0, Layout::k8x8, &Kernels::q4_0x8, Packing::kQ8_0},
    {GGML_TYPE_Q4_0, Layout::k4x4, &Kernels::q4_0_4x4, Packing::kQ8_0},
    {GGML_TYPE_Q4_0, Layout::k4x8, &Kernels::q4_0_4x8, Packing::kQ8_0},
    {GGML_TYPE_Q4_1, Layout::kFile, &Kernels::q4_1, Packing::kQ8_1},
    {GGML_TYPE_Q8_0, Layout::kFile, &Kernels::q8_0, Packing::kQ8_0},
    {GGML_TYPE_Q8_0, Layout::k4x4, &Kernels::q8_0_4x4, Packing::kQ8_0},
    {GGML_TYPE_Q8_0, Layout::k4x8, &Kernels::q8_0_4x8, Packing::kQ8_0},
    {GGML_TYPE_Q4_K, Layout::kFile, &Kernels::q4_K, Packing::kQ8_K},
    {GGML_TYPE_Q4_K, Layout::k8x8, &Kernels::q4_Kx8, Packing::kQ8_K},
    {GGML_TYPE_Q4_K, Layout::k8x4, &Kernels::q4_K_8x4, Packing::kQ8_K},
    {GGML_TYPE_Q6_K, Layout::kFile, &Kernels::q6_K, Packing::kQ8_K},
    {GGML_TYPE_Q6_K, Layout::k8x4, &Kernels::q6_K_8x4, Packing::kQ8_K},
    {GGML_TYPE_Q6_K, Layout::k8x8, &Kernels::q6_K_8x8, Packing::kQ8_K},
};

Choice choose(ggml_type type, Layout layout) {
  const Kernels* kernels = best_kernels();
  if (kernels == nullptr) return {};
  for (const Way& way : kWays) {
    if (way.type == type && way.layout == layout) return {kernels->*way.kernel, way.packing};
  }
  return {};
}

Choice choose(const ggml_tensor* op) {
  if (op->op != GGML_OP_MUL_MAT || !enabled.load(std::memory_order_relaxed)) return {};
  const ggml_tensor* weights = op->src[0];
  const ggml_tensor* rhs = op->src[1];
  const std::int64_t n = rhs->ne[1];
  if (ggml_nrows(rhs) != n || ggml_nrows(weights) != weights->ne[1]) return {};
  if (rhs->type != GGML_TYPE_F32 || rhs->nb[0] != sizeof(float) || op->nb[0] != sizeof(float)) return {};
  if (ggml_get_op_params_i32(op, 1) != 0) return {};  // a hint that this is no ordinary product
  ggml_backend_buffer_type_t buffer = weights->buffer == nullptr ? nullptr : weights->buffer->buft;
  const bool repacked = buffer == ggml_backend_cpu_repack_buffer_type();
  if (!repacked && (buffer == nullptr || !ggml_backend_buft_is_host(buffer))) return {};
  if (weights->nb[0] != ggml_type_size(weights->type)) return {};
  const Choice choice = choose(weights->type, repacked ? layout_of_repacked(weights) : Layout::kFile);
  return n < choice.kernel.least || n > choice.kernel.most ? Choice{} : choice;
}

bool work_size(int n_threads, const ggml_tensor* op, std::size_t* size) {
  if (op->op == GGML_OP_FLASH_ATTN_EXT && enabled.load(std::memory_order_relaxed))
    return flash_work_size(*best_kernels(), n_threads, op, size);
  const Choice choice = choose(op);
  if (choice.kernel.product == nullptr) return false;
  const Packed layout = packed_layout(choice.packing, op->src[1]->ne[0]);
  *size = layout.stride * static_cast<std::size_t>(op->src[1]->ne[1]);
  return true;
}

bool compute_forward(ggml_compute_params* params, ggml_tensor* op) {
  if (params->use_ref) return false;
  if (op->op == GGML_OP_FLASH_ATTN_EXT && enabled.load(std::memory_order_relaxed)) {
    if (!flash_forward(*best_kernels(), params, op)) return false;
    if (params->ith == 0) attentions.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  const Choice choice = choose(op);
  if (choice.kernel.product == nullptr) return false;
  const ggml_tensor* weights = op->src[0];
  const ggml_tensor* rhs = op->src[1];
  const std::int64_t n_rows = weights->ne[1];
  const auto n = static_cast<std::int32_t>(rhs->ne[1]);
  Packed packed = packed_layout(choice.packing, rhs->ne[0]);
  auto* work = static_cast<char*>(params->wdata);
  packed.data = work;

  const std::int64_t n_blocks = packed.k / block_size(choice.packing);
  const std::int64_t first = n_blocks * params->ith / params->nth;
  const std::int64_t last = n_blocks * (params->ith + 1) / params->nth;
  for (std::int32_t i = 0; i < n; ++i) {
    const char* row = static_cast<const char*>(rhs->data) + static_cast<std::size_t>(i) * rhs->nb[1];
    pack(choice.packing, reinterpret_cast<const float*>(row), first, last, packed,
         work + static_cast<std::size_t>(i) * packed.stride);
  }
  if (params->ith == 0) {
    ggml_threadpool_chunk_set(params->threadpool, params->nth);
    products.fetch_add(1, std::memory_order_relaxed);
  }
  ggml_barrier(params->threadpool);

  const std::int64_t n_tiles = (n_rows + kTile - 1) / kTile;
  const std::int64_t n_parts = std::min(n_tiles, kPartsOfThread * params->nth);
  auto* out = static_cast<float*>(op->data);
  const std::size_t out_stride = op->nb[1] / sizeof(float);
  for (std::int64_t part = params->ith; part < n_parts;
       part = ggml_threadpool_chunk_add(params->threadpool, 1)) {
    const std::int64_t begin = n_tiles * part / n_parts * kTile;
    const std::int64_t end = std::min(n_tiles * (part + 1) / n_parts * kTile, n_rows);
    choice.kernel.product(weights->data, weights->nb[1], packed, n, out, out_stride, begin, end);
  }
  return true;
}

}  // namespace

const Kernels* best_kernels() {
  static const Kernels* const best = [] {
    for (const auto& kernels :
         {avx512_vnni_kernels, avx_vnni_kernels, avx2_kernels, i8mm_kernels, dotprod_kernels}) {
      if (const Kernels* found = kernels()) return found;
    }
    return static_cast<const Kernels*>(nullptr);
  }();
  return best;
}

bool install() {
  static const bool installed = [] {
    if (best_kernels() == nullptr) return false;
    static const ggml_cpu_op_hook hook{work_size, compute_forward};
    ggml_cpu_set_op_hook(&hook);
    return true;
  }();
  return installed;
}

bool has_attention(std::int64_t n) {
  return install() && enabled && best_kernels()->attend != nullptr && n % kHeadStep == 0;
}

double log_sum_exp(const float* row, std::size_t n) {
  const Kernels* kernels = best_kernels();
  const bool ours = kernels != nullptr && kernels->log_sum_exp != nullptr && enabled.load();
  return ours ? kernels->log_sum_exp(row, n) : plain_log_sum_exp(row, n);
}

std::int64_t n_products() { return products; }

std::int64_t n_attentions() { return attentions; }

void enable(bool on) { enabled = on; }

std::string in_use() { return install() && enabled ? best_kernels()->name : ""; }

bool has_kernel(const std::string& type, bool repacked) {
  const ggml_type of = type_named(type);
  const Layout layout = repacked ? repacked_layout(of, kTile) : Layout::kFile;
  return install() && choose(of, layout).kernel.product != nullptr;
}

}  // namespace aspd::kernels
