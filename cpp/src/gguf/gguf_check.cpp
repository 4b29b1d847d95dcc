#include "aspd/gguf_check.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "aspd/errors.h"
#include "gguf_metadata.h"
#include "gguf_reader.h"
#include "gguf_rules.h"
#include "gguf_tensors.h"

namespace aspd {

namespace {

constexpr std::uint64_t kHeaderSize = 24;
constexpr std::uint32_t kDefaultAlignment = 32;
constexpr std::uint32_t kMostAlignment = 1U << 16;

// Which kind of file starts with these bytes.
std::string description_of(std::string_view start) {
  const auto starts_with = [&](std::string_view text) { return start.substr(0, text.size()) == text; };
  if (starts_with("lmgg") || starts_with("tjgg") || starts_with("fmgg")) {
    return "a file of the format before GGUF; it must be converted";
  }
  if (starts_with("version https://git-lfs")) return "a Git LFS pointer; the model itself was not downloaded";
  if (starts_with("PK\x03\x04")) return "a zip archive or a PyTorch file; it must be converted";
  if (starts_with("\x1f\x8b")) return "a gzip archive; it must be unpacked";
  if (start.size() > 8 && start[8] == '{' && start.substr(2, 6) == std::string_view("\0\0\0\0\0\0", 6)) {
    return "a safetensors file; it must be converted";
  }
  if (start.find_first_not_of('\0') == std::string_view::npos)
    return "zero bytes; the download may be unfinished";
  for (const char c : start) {
    const bool is_text = (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t';
    if (!is_text) return "unknown binary data";
  }
  return "a text file that starts with " + quoted(start);
}

void check_magic(GgufReader& reader) {
  if (reader.size() == 0) reader.fail("the file is empty");
  std::array<char, 32> bytes{};
  std::size_t n = 0;
  while (n < bytes.size() && reader.remaining() > 0) bytes[n++] = reader.number<char>("the start");
  const std::string_view start(bytes.data(), n);
  if (start.substr(0, 4) != "GGUF") reader.fail("this is not a GGUF file but " + description_of(start));
  if (reader.size() < kHeaderSize) {
    reader.fail("the file is cut: it has " + std::to_string(reader.size()) +
                " bytes, the header alone has 24");
  }
  reader.seek(4);
}

void check_version(const GgufReader& reader, std::uint32_t version) {
  if (version == 2 || version == 3) return;
  const bool is_swapped = (version & 0xFFFFU) == 0 && version != 0;
  reader.fail(is_swapped ? "this GGUF file was written for machines of the other byte order (big-endian)"
                         : "GGUF version " + std::to_string(version) + " is not supported, only 2 and 3");
}

std::uint32_t alignment_of(const GgufReader& reader, const GgufMetadata& metadata) {
  const GgufValue* value = metadata.find("general.alignment");
  if (value == nullptr) return kDefaultAlignment;
  if (value->is_array || value->type != GGUF_TYPE_UINT32)
    reader.fail("'general.alignment' must be a number of type u32");
  const auto alignment = static_cast<std::uint32_t>(value->numbers.front());
  const bool is_power = alignment != 0 && (alignment & (alignment - 1)) == 0;
  if (!is_power || alignment > kMostAlignment) {
    reader.fail("'general.alignment' is " + std::to_string(alignment) +
                ", it must be a power of two, at most 65536");
  }
  return alignment;
}

// Which part of a split model a file is.
struct Part {
  std::uint32_t index = 0;
  std::uint32_t count = 1;
};

std::optional<std::uint32_t> split_number(const GgufReader& reader, const GgufMetadata& metadata,
                                          const char* key) {
  const GgufValue* value = metadata.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_array || value->type != GGUF_TYPE_UINT16)
    reader.fail(quoted(key) + " must be a number of type u16");
  return static_cast<std::uint32_t>(value->numbers.front());
}

Part part_of(const GgufReader& reader, const GgufMetadata& metadata) {
  Part part;
  part.count = split_number(reader, metadata, "split.count").value_or(1);
  if (part.count <= 1) return {};
  const std::optional<std::uint32_t> index = split_number(reader, metadata, "split.no");
  if (!index.has_value())
    reader.fail("the file is one of " + std::to_string(part.count) + " parts but does not say which");
  part.index = *index;
  return part;
}

// A file whose own rules have passed; of the first part, what the rules for all parts need.
struct CheckedFile {
  std::unique_ptr<GgufReader> reader;
  std::unique_ptr<GgufMetadata> metadata;
  GgufTensors tensors;
  GgufSummary summary;
  Part part;
};

CheckedFile check_file(const std::string& path) {
  CheckedFile file;
  file.reader = std::make_unique<GgufReader>(path);
  GgufReader& reader = *file.reader;
  check_magic(reader);
  GgufSummary& summary = file.summary;
  summary.version = reader.number<std::uint32_t>("the version");
  check_version(reader, summary.version);
  summary.n_tensors = reader.number<std::uint64_t>("the number of tensors");
  summary.n_kv = reader.number<std::uint64_t>("the number of metadata keys");
  file.metadata = std::make_unique<GgufMetadata>(reader, summary.n_kv);
  const GgufMetadata& metadata = *file.metadata;
  summary.file_size = reader.size();
  summary.alignment = alignment_of(reader, metadata);
  summary.n_vocab = metadata.vocabulary().n_tokens;
  summary.architecture = metadata.text("general.architecture");
  file.tensors = check_tensors(reader, summary.n_tensors, summary.alignment);
  summary.quantisation = file.tensors.quantisation;
  file.part = part_of(reader, metadata);
  if (file.part.index > 0) return file;  // later parts hold tensors only

  if (summary.architecture.empty())
    reader.fail("the file does not name its architecture ('general.architecture')");
  if (metadata.text("general.type") == "adapter") reader.fail("this is a LoRA adapter, not a model");
  check_vocabulary(reader, metadata);
  check_hyperparameters(Hyperparameters(reader, metadata));
  return file;
}

std::string name_of(const Part& part) {
  return std::to_string(part.index + 1) + " of " + std::to_string(part.count);
}

// llama.cpp's names of the parts: model-00001-of-00003.gguf
std::string part_suffix(const Part& part) {
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "-%05u-of-%05u.gguf", part.index + 1, part.count);
  return text.data();
}

void add_part(const std::string& path, const Part& expected, CheckedFile& first) {
  CheckedFile file = check_file(path);
  if (file.part.index != expected.index || file.part.count != expected.count) {
    throw ModelError(
        path, "this should be part " + name_of(expected) + " but says it is part " + name_of(file.part));
  }
  GgufSummary& whole = first.summary;
  whole.n_tensors += file.summary.n_tensors;
  whole.file_size += file.summary.file_size;
  for (const auto& [type, count] : file.summary.quantisation) whole.quantisation[type] += count;
  if (whole.n_tensors > kMostTensors)
    file.reader->fail("with this part the model has " + std::to_string(whole.n_tensors) +
                      " tensors, too many");
  first.tensors.attention_rows.merge(file.tensors.attention_rows);
  first.tensors.names.merge(file.tensors.names);
  if (!file.tensors.names.empty())
    file.reader->fail("tensor " + quoted(*file.tensors.names.begin()) + " is in another part, too");
}

void add_other_parts(const std::string& path, CheckedFile& first) {
  const Part& part = first.part;
  if (part.index > 0)
    throw ModelError(path, "this is part " + name_of(part) + " of a split model; open the first part");
  const std::string suffix = part_suffix(part);
  if (path.size() <= suffix.size() || path.compare(path.size() - suffix.size(), suffix.size(), suffix) != 0) {
    throw ModelError(path, "this is part " + name_of(part) + " of a split model, so its name must end in " +
                               quoted(suffix));
  }
  const std::string prefix = path.substr(0, path.size() - suffix.size());
  for (std::uint32_t i = 1; i < part.count; ++i) {
    const Part next{i, part.count};
    add_part(prefix + part_suffix(next), next, first);
  }
}

}  // namespace

GgufSummary check_gguf(const std::string& path) {
  CheckedFile first = check_file(path);
  if (first.part.count > 1) add_other_parts(path, first);
  const Hyperparameters model(*first.reader, *first.metadata);
  check_attention(model, first.tensors);
  check_needed_tensors(model, first.tensors);
  return std::move(first.summary);
}

}  // namespace aspd
