#include "layouts.h"

#include <cstddef>
#include <vector>

#include "ggml_owned.h"
#include "repack.h"

namespace aspd::kernels {

namespace {

// Where the bytes that tell the layout are.
struct Type {
  ggml_type type;
  std::size_t begin;   // in a block of the file
  std::size_t n;       // of them in a block
  std::size_t before;  // bytes that repacking puts before them, for each of the rows it interleaves
  std::uint8_t flips;  // bits that repacking changes
};
const Type kTypes[] = {
    {GGML_TYPE_Q4_0, offsetof(block_q4_0, qs), QK4_0 / 2, sizeof(ggml_half), 0x88},
    {GGML_TYPE_Q8_0, offsetof(block_q8_0, qs), QK8_0, sizeof(ggml_half), 0},
    {GGML_TYPE_Q4_K, offsetof(block_q4_K, qs), QK_K / 2, offsetof(block_q4_K, qs), 0},
    {GGML_TYPE_Q6_K, offsetof(block_q6_K, ql), QK_K / 2, sizeof(ggml_half) + QK_K / 16, 0},
};

struct Known {
  Layout layout;
  std::size_t n_rows;
  std::size_t n_bytes;
};
const Known kLayouts[] = {
    {Layout::k4x4, 4, 4}, {Layout::k4x8, 4, 8}, {Layout::k8x4, 8, 4}, {Layout::k8x8, 8, 8}};

// rows: as in the file, one block each.
bool is_laid_out(const Known& as, const Type& of, const std::vector<std::uint8_t>& rows,
                 const std::uint8_t* repacked) {
  const std::size_t block = ggml_type_size(of.type);
  if (rows.size() < as.n_rows * block) return false;
  for (std::size_t row = 0; row < as.n_rows; ++row) {
    for (std::size_t i = 0; i < of.n; ++i) {
      const std::size_t at = (i / as.n_bytes * as.n_rows + row) * as.n_bytes + i % as.n_bytes;
      if (repacked[as.n_rows * of.before + at] != (rows[row * block + of.begin + i] ^ of.flips)) return false;
    }
  }
  return true;
}

// llama.cpp marks repacked weights with the functions that multiply them, one mark for each layout.
struct Mark {
  ggml_type type;
  std::int64_t n_rows;
  const void* mark;
  Layout layout;
};

// Lets llama.cpp repack a matrix of one block a row, and looks where its bytes have gone.
Mark tried(const Type& of, std::int64_t n_rows) {
  Mark found{of.type, n_rows, nullptr, Layout::kOther};
  ggml_init_params params{};
  params.mem_size = ggml_tensor_overhead();
  params.no_alloc = true;
  const OwnedContext memory(ggml_init(params));
  ggml_tensor* weights = ggml_new_tensor_2d(memory.get(), of.type, ggml_blck_size(of.type), n_rows);
  const OwnedBuffer buffer(
      ggml_backend_alloc_ctx_tensors_from_buft(memory.get(), ggml_backend_cpu_repack_buffer_type()));
  if (!buffer || weights->extra == nullptr) return found;
  std::vector<std::uint8_t> bytes(ggml_nbytes(weights));
  std::uint32_t seed = 1;
  for (std::uint8_t& byte : bytes) {
    seed = seed * 1664525U + 1013904223U;
    byte = static_cast<std::uint8_t>(seed >> 24U);
  }
  ggml_backend_tensor_set(weights, bytes.data(), 0, bytes.size());
  found.mark = weights->extra;
  for (const Known& known : kLayouts) {
    if (is_laid_out(known, of, bytes, static_cast<const std::uint8_t*>(weights->data)))
      found.layout = known.layout;
  }
  return found;
}

const std::vector<Mark>& marks() {
  static const std::vector<Mark> all = [] {
    std::vector<Mark> found;
    for (const Type& type : kTypes) {
      for (const std::int64_t n_rows : {8, 4}) found.push_back(tried(type, n_rows));
    }
    return found;
  }();
  return all;
}

}  // namespace

Layout layout_of_repacked(const ggml_tensor* weights) {
  for (const Mark& known : marks()) {
    if (known.type == weights->type && known.mark != nullptr && known.mark == weights->extra)
      return known.layout;
  }
  return Layout::kOther;
}

Layout repacked_layout(ggml_type type, std::int64_t n_rows) {
  for (const Mark& known : marks()) {
    if (known.type == type && n_rows % known.n_rows == 0) return known.layout;
  }
  return Layout::kOther;
}

}  // namespace aspd::kernels
