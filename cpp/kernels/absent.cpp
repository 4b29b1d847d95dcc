// In place of all other files of this folder where llama.cpp has no place for kernels of ours.
#include <stdexcept>

#include "narrow.h"
#include "plain_log_sum_exp.h"

namespace aspd::kernels {

namespace {

[[noreturn]] void refuse() { throw std::invalid_argument("this build has no kernels to try"); }

}  // namespace

bool install() { return false; }
void enable(bool /*on*/) {}
std::string in_use() { return ""; }
bool has_kernel(const std::string& /*type*/, bool /*repacked*/) { return false; }
bool has_attention(std::int64_t /*n*/) { return false; }
double log_sum_exp(const float* row, std::size_t n) { return plain_log_sum_exp(row, n); }
std::int64_t n_products() { return 0; }
std::int64_t n_attentions() { return 0; }
ProductTimes time_products(const std::string& /*type*/, bool /*repack*/, std::int64_t /*n_rows*/,
                           std::int64_t /*k*/, std::int32_t /*n_matrices*/, std::int32_t /*width*/,
                           std::int32_t /*n_threads*/, std::int32_t /*n_times*/) {
  refuse();
}
std::vector<float> attention(const AttentionShape& /*shape*/, const std::vector<float>& /*q*/,
                             const std::vector<float>& /*k*/, const std::vector<float>& /*v*/,
                             const std::vector<float>& /*mask*/, std::int32_t /*n_threads*/) {
  refuse();
}
std::vector<double> time_attention(const AttentionShape& /*shape*/, std::int32_t /*n_layers*/,
                                   std::int32_t /*n_threads*/, std::int32_t /*n_times*/) {
  refuse();
}
double read_bandwidth(std::size_t /*n_bytes*/, std::int32_t /*n_threads*/) { refuse(); }
std::vector<float> product(const std::string& /*type*/, bool /*repack*/,
                           const std::vector<float>& /*weights*/, const std::vector<float>& /*x*/,
                           std::int64_t /*n_rows*/, std::int64_t /*k*/, std::int32_t /*n_threads*/) {
  refuse();
}
std::vector<char> repacked_rows(const std::string& /*type*/, const std::vector<char>& /*weights*/,
                                std::int64_t /*n_rows*/, std::int64_t /*k*/) {
  refuse();
}

}  // namespace aspd::kernels
