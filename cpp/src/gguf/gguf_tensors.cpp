#include "gguf_tensors.h"

#include <limits>
#include <string_view>

#include "ggml.h"
#include "gguf_reader.h"

namespace aspd {

namespace {

constexpr std::uint64_t kLongestName = GGML_MAX_NAME - 1;
constexpr std::size_t kMostAttention = 2048;  // tensors whose rows are kept: 4 in each of at most 512 layers
constexpr std::uint64_t kMemoryAlignment = 32;  // TENSOR_ALIGNMENT in ggml-impl.h: buffers assert it
constexpr std::uint64_t kLargest = std::uint64_t{1} << 62;  // bytes; leaves room to add without overflow

struct Tensor {
  std::string name;
  std::uint32_t n_dims = 0;
  std::uint64_t dims[GGML_MAX_DIMS] = {1, 1, 1, 1};
  ggml_type type = GGML_TYPE_COUNT;
  std::uint64_t n_bytes = 0;
};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

void read_shape(GgufReader& reader, Tensor& tensor) {
  tensor.n_dims = reader.number<std::uint32_t>("the number of dimensions of a tensor");
  if (tensor.n_dims > GGML_MAX_DIMS) {
    reader.fail("tensor " + quoted(tensor.name) + " has " + std::to_string(tensor.n_dims) +
                " dimensions, at most 4 are possible");
  }
  std::uint64_t n_elements = 1;
  for (std::uint32_t i = 0; i < tensor.n_dims; ++i) {
    const auto dim = reader.number<std::uint64_t>("a dimension of a tensor");
    if (dim == 0) reader.fail("tensor " + quoted(tensor.name) + " has a dimension of 0");
    if (dim > kLargest / n_elements)
      reader.fail("tensor " + quoted(tensor.name) + " is too large: its dimensions overflow");
    n_elements *= dim;
    tensor.dims[i] = dim;
  }
}

// The CPU's kernels add, multiply and convolve with F32 only; the converters keep these tensors in F32.
bool must_be_f32(const Tensor& tensor) {
  const bool is_matrix = ends_with(tensor.name, ".weight") || ends_with(tensor.name, ".lora_a") ||
                         ends_with(tensor.name, ".lora_b");
  if (tensor.n_dims <= 1 || !is_matrix || ends_with(tensor.name, "_norm.weight")) return true;
  return tensor.name.find("ssm_conv1d") != std::string::npos ||
         tensor.name.find("shortconv.conv.") != std::string::npos;
}

// Types that llama.cpp can compute with: I8, I16, I64 and F64 weights reach a null function or an abort, Q8_1
// and Q8_K exist only inside a computation.
void check_type(const GgufReader& reader, const Tensor& tensor) {
  const bool is_float =
      tensor.type == GGML_TYPE_F32 || ggml_get_type_traits(tensor.type)->to_float != nullptr;
  const bool is_table = tensor.type == GGML_TYPE_I32 && tensor.name.find("tid2eid") != std::string::npos;
  if (!is_float && !is_table) {
    reader.fail("tensor " + quoted(tensor.name) + " has the type " + ggml_type_name(tensor.type) +
                ", which no weight can have");
  }
  if (must_be_f32(tensor) && tensor.type != GGML_TYPE_F32) {
    reader.fail("tensor " + quoted(tensor.name) + " has the type " + ggml_type_name(tensor.type) +
                ", but here only f32 can be computed with");
  }
}

void read_type(GgufReader& reader, Tensor& tensor) {
  const auto type = reader.number<std::uint32_t>("the type of a tensor");
  if (type >= GGML_TYPE_COUNT || ggml_blck_size(static_cast<ggml_type>(type)) == 0) {
    reader.fail("tensor " + quoted(tensor.name) + " has the unknown type " + std::to_string(type));
  }
  tensor.type = static_cast<ggml_type>(type);
  const auto block = static_cast<std::uint64_t>(ggml_blck_size(tensor.type));
  if (tensor.dims[0] % block != 0) {
    reader.fail("tensor " + quoted(tensor.name) + " has rows of " + std::to_string(tensor.dims[0]) +
                " elements, type " + ggml_type_name(tensor.type) + " needs a multiple of " +
                std::to_string(block));
  }
  const std::uint64_t n_blocks = tensor.dims[0] / block * tensor.dims[1] * tensor.dims[2] * tensor.dims[3];
  if (n_blocks > kLargest / ggml_type_size(tensor.type)) {
    reader.fail("tensor " + quoted(tensor.name) + " is too large: its size overflows");
  }
  tensor.n_bytes = n_blocks * ggml_type_size(tensor.type);
  check_type(reader, tensor);
}

bool is_attention(std::string_view name) {
  if (name.substr(0, 4) != "blk.") return false;
  for (const char* end : {".attn_q.weight", ".attn_k.weight", ".attn_v.weight", ".attn_qkv.weight"}) {
    if (ends_with(name, end)) return true;
  }
  return false;
}

std::uint64_t padded(std::uint64_t n_bytes, std::uint64_t alignment) {
  return (n_bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

GgufTensors check_tensors(GgufReader& reader, std::uint64_t n_tensors, std::uint32_t alignment) {
  if (n_tensors > kMostTensors)
    reader.fail("the file claims " + std::to_string(n_tensors) + " tensors, too many");
  GgufTensors result;
  const std::string misplaced = "the weights are not at multiples of 32 bytes, where llama.cpp needs them";
  std::uint64_t data_size = 0;  // with padding
  std::uint64_t data_end = 0;   // of the last tensor, without
  for (std::uint64_t i = 0; i < n_tensors; ++i) {
    Tensor tensor;
    reader.string(tensor.name, kLongestName, "the name of a tensor");
    if (tensor.name.find('\0') != std::string::npos)
      reader.fail("tensor " + quoted(tensor.name) + " has a zero byte in its name");
    if (!result.names.insert(tensor.name).second)
      reader.fail("tensor " + quoted(tensor.name) + " appears twice");
    read_shape(reader, tensor);
    read_type(reader, tensor);
    const auto offset = reader.number<std::uint64_t>("the offset of a tensor");
    if (offset != data_size) {
      reader.fail("tensor " + quoted(tensor.name) + " is at offset " + std::to_string(offset) +
                  " of the data, not at " + std::to_string(data_size) + " where the one before it ends");
    }
    if (offset % kMemoryAlignment != 0) reader.fail(misplaced);
    data_end = data_size + tensor.n_bytes;
    if (data_end > kLargest)
      reader.fail("tensor " + quoted(tensor.name) + " is too large: the offsets overflow");
    data_size = padded(data_end, alignment);
    ++result.quantisation[ggml_type_name(tensor.type)];
    if (is_attention(tensor.name) && result.attention_rows.size() < kMostAttention) {
      result.attention_rows.emplace(tensor.name, tensor.dims[1]);
    }
  }
  const std::uint64_t data_start = padded(reader.position(), alignment);
  if (n_tensors > 0 && data_start % kMemoryAlignment != 0) reader.fail(misplaced);
  const std::uint64_t file_end = data_start + data_end;
  if (n_tensors > 0 && file_end > reader.size()) {
    reader.fail("the file is cut: " + std::to_string(file_end - reader.size()) + " of " +
                std::to_string(file_end) + " bytes are missing");
  }
  return result;
}

}  // namespace aspd
