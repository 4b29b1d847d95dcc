// What the metadata must say so that llama.cpp neither aborts nor divides by zero nor loops: the model's
// hyperparameters and its vocabulary. Absent keys are no fault here; llama.cpp names those it misses. A key
// may be 0 where the architecture does not use it: llama.cpp's own writer puts all keys into every file.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace aspd {

class GgufMetadata;
class GgufReader;
struct GgufTensors;

// The keys "<architecture>.*" of one file.
class Hyperparameters {
 public:
  Hyperparameters(const GgufReader& reader, const GgufMetadata& metadata);

  [[nodiscard]] const std::string& architecture() const { return architecture_; }
  // The number under "<architecture>.<name>"; none: no such key, or not one number.
  [[nodiscard]] std::optional<double> number(const std::string& name) const;
  // One number, or one for each layer; empty: no such key.
  [[nodiscard]] std::vector<double> numbers(const std::string& name) const;
  [[nodiscard]] std::optional<std::string> text(const std::string& name) const;

  // Every number under this key lies in [least, most]; NaN does not. Throws ModelError.
  void check_range(const std::string& name, double least, double most) const;
  // Throws ModelError: the key is `value`, it must be `rule`.
  [[noreturn]] void fail(const std::string& name, double value, const std::string& rule) const;
  [[noreturn]] void fail(const std::string& message) const;

 private:
  const GgufReader& reader_;
  const GgufMetadata& metadata_;
  std::string architecture_;
};

// A number for a message: whole numbers without a fraction.
[[nodiscard]] std::string shown(double value);

// Each throws ModelError.
void check_hyperparameters(const Hyperparameters& model);
void check_attention(const Hyperparameters& model, const GgufTensors& tensors);
void check_needed_tensors(const Hyperparameters& model, const GgufTensors& tensors);
void check_vocabulary(const GgufReader& reader, const GgufMetadata& metadata);

}  // namespace aspd
