// Our kernels against ggml's own vector kernels on the same quantised numbers, for every instruction set that
// this processor runs.
#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "aspd/backend.h"
#include "check.h"
#include "ggml-cpu.h"
#include "ggml.h"
#include "layouts.h"
#include "narrow.h"
#include "packing.h"
#include "plain_log_sum_exp.h"

using namespace aspd::kernels;

namespace {

struct Case {
  const char* name;  // ggml's
  ggml_type type;
  Layout layout;
  Packing packing;
  Kernel Kernels::* kernel;

  [[nodiscard]] bool repacked() const { return layout != Layout::kFile; }
};

const Case kCases[] = {
    {"q4_0", GGML_TYPE_Q4_0, Layout::k8x8, Packing::kQ8_0, &Kernels::q4_0x8},
    {"q4_0", GGML_TYPE_Q4_0, Layout::k4x4, Packing::kQ8_0, &Kernels::q4_0_4x4},
    {"q4_0", GGML_TYPE_Q4_0, Layout::k4x8, Packing::kQ8_0, &Kernels::q4_0_4x8},
    {"q4_K", GGML_TYPE_Q4_K, Layout::k8x8, Packing::kQ8_K, &Kernels::q4_Kx8},
    {"q4_K", GGML_TYPE_Q4_K, Layout::k8x4, Packing::kQ8_K, &Kernels::q4_K_8x4},
    {"q8_0", GGML_TYPE_Q8_0, Layout::k4x4, Packing::kQ8_0, &Kernels::q8_0_4x4},
    {"q8_0", GGML_TYPE_Q8_0, Layout::k4x8, Packing::kQ8_0, &Kernels::q8_0_4x8},
    {"q6_K", GGML_TYPE_Q6_K, Layout::k8x4, Packing::kQ8_K, &Kernels::q6_K_8x4},
    {"q6_K", GGML_TYPE_Q6_K, Layout::k8x8, Packing::kQ8_K, &Kernels::q6_K_8x8},
    {"q4_0", GGML_TYPE_Q4_0, Layout::kFile, Packing::kQ8_0, &Kernels::q4_0},
    {"q4_1", GGML_TYPE_Q4_1, Layout::kFile, Packing::kQ8_1, &Kernels::q4_1},
    {"q8_0", GGML_TYPE_Q8_0, Layout::kFile, Packing::kQ8_0, &Kernels::q8_0},
    {"q4_K", GGML_TYPE_Q4_K, Layout::kFile, Packing::kQ8_K, &Kernels::q4_K},
    {"q6_K", GGML_TYPE_Q6_K, Layout::kFile, Packing::kQ8_K, &Kernels::q6_K},
};

std::vector<const Kernels*> all_kernels() {
  std::vector<const Kernels*> found;
  for (const auto& kernels :
       {avx2_kernels, avx_vnni_kernels, avx512_vnni_kernels, dotprod_kernels, i8mm_kernels}) {
    if (kernels() != nullptr) found.push_back(kernels());
  }
  return found;
}

// Rows of a matrix that llama.cpp lays out so here, `wanted` or a few more; 0: of no such matrix.
std::int64_t rows_of(const Case& of, std::int64_t wanted) {
  if (!of.repacked()) return wanted;
  for (std::int64_t n_rows = wanted; n_rows < wanted + 8; ++n_rows) {
    if (repacked_layout(of.type, n_rows) == of.layout) return n_rows;
  }
  return 0;
}

// What there are kernels for, of what llama.cpp makes here.
std::vector<Case> cases_of(const Kernels& kernels) {
  std::vector<Case> found;
  for (const Case& of : kCases) {
    if ((kernels.*of.kernel).product != nullptr && rows_of(of, 1) > 0) found.push_back(of);
  }
  return found;
}

std::vector<float> noise(std::mt19937& random, std::int64_t n) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(n));
  for (float& value : values) value = normal(random);
  return values;
}

std::vector<char> quantised(ggml_type type, const std::vector<float>& weights, std::int64_t n_rows,
                            std::int64_t k) {
  std::vector<char> bytes(static_cast<std::size_t>(n_rows) * ggml_row_size(type, k));
  ggml_quantize_chunk(type, weights.data(), bytes.data(), 0, n_rows, k, nullptr);
  return bytes;
}

// What blocks add to all of their numbers; it is a term of each sum, and often larger than the weight. 0 for
// types without. row: of k numbers.
std::vector<float> offsets(ggml_type type, const char* row, std::int64_t k) {
  std::vector<float> values(static_cast<std::size_t>(k));
  const std::ptrdiff_t before = type == GGML_TYPE_Q4_1 ? 4 : type == GGML_TYPE_Q4_K ? 16 : 0;
  if (before == 0) return values;
  std::vector<char> zeros(row, row + ggml_row_size(type, k));
  const auto block = static_cast<std::ptrdiff_t>(ggml_type_size(type));
  for (auto at = zeros.begin(); at != zeros.end(); at += block) std::fill(at + before, at + block, char{0});
  ggml_get_type_traits(type)->to_float(zeros.data(), values.data(), k);
  return values;
}

// [n * n_rows]: what ggml's vector kernel gives, and how large the terms of each sum are together.
struct Reference {
  std::vector<float> values;
  std::vector<double> sizes;
};

Reference reference(const Case& of, const std::vector<char>& weights, const std::vector<float>& x,
                    std::int64_t n_rows, std::int64_t k) {
  const ggml_type_traits_cpu* traits = ggml_get_type_traits_cpu(of.type);
  const ggml_type_traits_cpu* packed = ggml_get_type_traits_cpu(traits->vec_dot_type);
  const auto length = static_cast<std::size_t>(k);
  const auto rows = static_cast<std::size_t>(n_rows);
  const std::size_t n = x.size() / length;
  const std::size_t stride = ggml_row_size(traits->vec_dot_type, k);
  std::vector<char> right(n * stride);
  for (std::size_t i = 0; i < n; ++i) packed->from_float(x.data() + i * length, right.data() + i * stride, k);
  std::vector<float> plain(length);
  Reference result{std::vector<float>(n * rows), std::vector<double>(n * rows)};
  for (std::size_t r = 0; r < rows; ++r) {
    const char* left = weights.data() + r * ggml_row_size(of.type, k);
    ggml_get_type_traits(of.type)->to_float(left, plain.data(), k);
    const std::vector<float> offset = offsets(of.type, left, k);
    std::vector<double> terms;
    for (std::size_t j = 0; j < length; ++j)
      terms.push_back(std::fabs(static_cast<double>(plain[j]) - static_cast<double>(offset[j])) +
                      std::fabs(static_cast<double>(offset[j])));
    for (std::size_t i = 0; i < n; ++i) {
      traits->vec_dot(static_cast<int>(k), &result.values[i * rows + r], 0, left, 0,
                      right.data() + i * stride, 0, 1);
      for (std::size_t j = 0; j < length; ++j)
        result.sizes[i * rows + r] += terms[j] * std::fabs(static_cast<double>(x[i * length + j]));
    }
  }
  return result;
}

// Rows interleaved as llama.cpp's repacking does it; weights as they are where the case wants that.
std::vector<char> laid_out(const Case& of, const std::vector<char>& weights, std::int64_t n_rows,
                           std::int64_t k) {
  return of.repacked() ? repacked_rows(of.name, weights, n_rows, k) : weights;
}

std::vector<float> ours(const Kernels& kernels, const Case& of, const std::vector<char>& weights,
                        const std::vector<float>& x, std::int64_t n_rows, std::int64_t k) {
  const std::size_t n = x.size() / static_cast<std::size_t>(k);
  Packed packed = packed_layout(of.packing, k);
  std::vector<char> right(packed.stride * n);
  packed.data = right.data();
  const std::int64_t n_blocks = k / block_size(of.packing);
  for (std::size_t i = 0; i < n; ++i) {
    const float* row = x.data() + i * static_cast<std::size_t>(k);
    char* to = right.data() + i * packed.stride;
    pack(of.packing, row, 0, n_blocks / 2, packed, to);  // as two threads would
    pack(of.packing, row, n_blocks / 2, n_blocks, packed, to);
  }
  const std::vector<char> left = laid_out(of, weights, n_rows, k);
  std::vector<float> out(n * static_cast<std::size_t>(n_rows), std::numeric_limits<float>::quiet_NaN());
  const Product product = (kernels.*of.kernel).product;
  const std::int64_t middle = n_rows / 16 * 8;
  product(left.data(), ggml_row_size(of.type, k), packed, static_cast<std::int32_t>(n), out.data(),
          static_cast<std::size_t>(n_rows), 0, middle);
  product(left.data(), ggml_row_size(of.type, k), packed, static_cast<std::int32_t>(n), out.data(),
          static_cast<std::size_t>(n_rows), middle, n_rows);
  return out;
}

void check_equal(const std::vector<float>& found, const Reference& wanted) {
  REQUIRE(found.size() == wanted.values.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::isfinite(wanted.values[i])) {
      CHECK(std::fabs(static_cast<double>(found[i]) - static_cast<double>(wanted.values[i])) <=
            1e-6 * wanted.sizes[i]);
    } else {
      CHECK(!std::isfinite(found[i]));
    }
  }
}

}  // namespace

TEST(kernels_of_every_width_give_what_ggml_gives) {
  aspd::start_backend();
  std::mt19937 random(7);
  for (const Kernels* kernels : all_kernels()) {
    for (const Case& of : cases_of(*kernels)) {
      const std::int64_t k = 512;
      const std::int64_t n_rows = rows_of(of, 40);
      const std::vector<char> weights = quantised(of.type, noise(random, n_rows * k), n_rows, k);
      for (std::int64_t width = 1; width <= 17; ++width) {
        const std::vector<float> x = noise(random, width * k);
        check_equal(ours(*kernels, of, weights, x, n_rows, k), reference(of, weights, x, n_rows, k));
      }
    }
  }
}

TEST(kernels_of_200_random_shapes_give_what_ggml_gives) {
  aspd::start_backend();
  std::mt19937 random(11);
  for (const Kernels* kernels : all_kernels()) {
    for (const Case& of : cases_of(*kernels)) {
      for (int i = 0; i < 200; ++i) {
        const std::int64_t k = block_size(of.packing) * (1 + static_cast<std::int64_t>(random() % 9));
        const std::int64_t n_rows = rows_of(of, 1 + static_cast<std::int64_t>(random() % 50));
        const std::int64_t width = 1 + static_cast<std::int64_t>(random() % 17);
        std::vector<float> plain = noise(random, n_rows * k);
        std::vector<float> x = noise(random, width * k);
        // Stretches of zeros: blocks without a scale.
        std::fill(plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(random() % plain.size()), 0.0F);
        std::fill(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(random() % x.size()), 0.0F);
        const std::vector<char> weights = quantised(of.type, plain, n_rows, k);
        check_equal(ours(*kernels, of, weights, x, n_rows, k), reference(of, weights, x, n_rows, k));
      }
    }
  }
}

TEST(a_row_has_the_same_bits_alone_and_among_others) {
  aspd::start_backend();
  std::mt19937 random(12);
  for (const Kernels* kernels : all_kernels()) {
    for (const Case& of : cases_of(*kernels)) {
      const std::int64_t k = 1024;
      const std::int64_t n_rows = rows_of(of, 72);
      const std::vector<char> weights = quantised(of.type, noise(random, n_rows * k), n_rows, k);
      for (std::int64_t width = 2; width <= 40; width += width < 18 ? 1 : 11) {
        const std::vector<float> x = noise(random, width * k);
        const std::vector<float> together = ours(*kernels, of, weights, x, n_rows, k);
        for (const std::int64_t i : {std::int64_t{0}, width / 2, width - 1}) {
          const auto from = x.begin() + static_cast<std::ptrdiff_t>(i * k);
          const std::vector<float> alone =
              ours(*kernels, of, weights, {from, from + static_cast<std::ptrdiff_t>(k)}, n_rows, k);
          const auto row = together.begin() + static_cast<std::ptrdiff_t>(i * n_rows);
          CHECK(std::equal(alone.begin(), alone.end(), row));
        }
      }
    }
  }
}

TEST(kernels_take_numbers_of_any_size) {
  aspd::start_backend();
  std::mt19937 random(13);
  for (const Kernels* kernels : all_kernels()) {
    for (const Case& of : cases_of(*kernels)) {
      const std::int64_t k = 512;
      const std::int64_t n_rows = rows_of(of, 8);
      // All weights and numbers as large as they can be: the largest sums there are.
      const std::vector<char> largest =
          quantised(of.type, std::vector<float>(static_cast<std::size_t>(n_rows * k), -1.0F), n_rows, k);
      for (const float sign : {1.0F, -1.0F}) {
        const std::vector<float> x(static_cast<std::size_t>(3 * k), sign);
        check_equal(ours(*kernels, of, largest, x, n_rows, k), reference(of, largest, x, n_rows, k));
      }
      const std::vector<char> weights = quantised(of.type, noise(random, n_rows * k), n_rows, k);
      std::vector<float> x = noise(random, 3 * k);
      x[5] = std::numeric_limits<float>::infinity();
      x[static_cast<std::size_t>(k) + 300] = -std::numeric_limits<float>::infinity();
      const std::vector<float> found = ours(*kernels, of, weights, x, n_rows, k);
      check_equal(found, reference(of, weights, x, n_rows, k));
      const auto rows = static_cast<std::size_t>(n_rows);
      for (std::size_t r = 0; r < rows; ++r) {
        CHECK(!std::isfinite(found[r]));
        CHECK(!std::isfinite(found[rows + r]));
        CHECK(std::isfinite(found[2 * rows + r]));
      }
    }
  }
}

TEST(ggml_computes_with_the_kernels_that_are_in_use) {
  aspd::start_backend();
  if (in_use().empty()) SKIP("no kernels for this processor, or llama.cpp has no place for them");
  std::mt19937 random(17);
  const std::int64_t k = 512;
  for (const Case& of : cases_of(*best_kernels())) {
    const std::int64_t n_rows = rows_of(of, 72);
    const std::vector<float> weights = noise(random, n_rows * k);
    const std::vector<float> x = noise(random, 5 * k);
    const Reference wanted = reference(of, quantised(of.type, weights, n_rows, k), x, n_rows, k);
    for (const std::int32_t n_threads : {1, 2, 3}) {
      const std::int64_t before = n_products();
      check_equal(product(of.name, of.repacked(), weights, x, n_rows, k, n_threads), wanted);
      CHECK_EQ(n_products(), before + 1);
      enable(false);
      (void)product(of.name, of.repacked(), weights, x, n_rows, k, n_threads);
      enable(true);
      CHECK_EQ(n_products(), before + 1);
    }
  }
}

TEST(types_that_llama_cpp_repacks_have_kernels_for_both_layouts) {
  aspd::start_backend();
  if (in_use().empty()) SKIP("no kernels for this processor, or llama.cpp has no place for them");
  CHECK(has_kernel("q4_1", false));
  for (const ggml_type type : {GGML_TYPE_Q4_0, GGML_TYPE_Q4_K, GGML_TYPE_Q8_0, GGML_TYPE_Q6_K}) {
    const char* name = ggml_type_name(type);
    const std::int64_t k = 256;
    const std::vector<char> zeros(8 * ggml_row_size(type, k));
    bool repacks = true;
    try {
      (void)repacked_rows(name, zeros, 8, k);
    } catch (const std::invalid_argument&) {
      repacks = false;
    }
    CHECK_EQ(repacked_layout(type, 8) != Layout::kOther, repacks);
    CHECK_EQ(has_kernel(name, true), repacks);
    CHECK(has_kernel(name, false) || type == GGML_TYPE_Q4_K);
  }
}

TEST(widths_that_a_kernel_is_not_for_are_llama_cpps_own) {
  aspd::start_backend();
  if (in_use().empty()) SKIP("no kernels for this processor, or llama.cpp has no place for them");
  std::mt19937 random(19);
  for (const Case& of : cases_of(*best_kernels())) {
    const Kernel kernel = best_kernels()->*of.kernel;
    std::vector<std::int64_t> widths{kernel.least};
    if (kernel.least > 1) widths.push_back(kernel.least - 1);
    if (kernel.most != kAny) widths.insert(widths.end(), {kernel.most, kernel.most + 1});
    for (const std::int64_t width : widths) {
      const std::int64_t before = n_products();
      (void)product(of.name, of.repacked(), noise(random, 8 * 256), noise(random, width * 256), 8, 256, 1);
      CHECK_EQ(n_products() - before, width < kernel.least || width > kernel.most ? 0 : 1);
    }
  }
}

TEST(products_refuse_what_they_cannot_multiply) {
  aspd::start_backend();
  const std::vector<float> numbers(64, 1.0F);
  CHECK_THROWS(product("q9_9", false, numbers, numbers, 2, 32, 1), std::invalid_argument);
  CHECK_THROWS(product("q4_0", false, numbers, numbers, 3, 32, 1), std::invalid_argument);
  CHECK_THROWS(product("q6_K", false, numbers, numbers, 2, 32, 1), std::invalid_argument);
  // Nothing repacks rows of an odd number.
  CHECK_THROWS(product("q6_K", true, std::vector<float>(1792), std::vector<float>(256), 7, 256, 1),
               std::invalid_argument);
}

TEST(log_of_a_sum_of_exponentials_equals_one_in_double_precision) {
  std::mt19937 random(5);
  std::normal_distribution<float> logit(0.0F, 6.0F);
  for (const std::size_t n : {1, 7, 16, 63, 64, 65, 200, 4096, 4159, 49152, 151936}) {
    std::vector<float> row(n);
    for (float& x : row) x = logit(random);
    if (n > 64) row[3] = row[n - 1] = -std::numeric_limits<float>::infinity();
    const double most = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (const float x : row) sum += std::exp(static_cast<double>(x) - most);
    const double wanted = most + std::log(sum);
    CHECK(std::fabs(log_sum_exp(row.data(), n) - wanted) < 2e-6 * std::max(1.0, std::fabs(wanted)));
    CHECK(std::fabs(plain_log_sum_exp(row.data(), n) - wanted) < 2e-6 * std::max(1.0, std::fabs(wanted)));
    for (const Kernels* kernels : all_kernels()) {
      if (kernels->log_sum_exp == nullptr) continue;
      const double found = kernels->log_sum_exp(row.data(), n);
      CHECK(std::fabs(found - wanted) < 2e-6 * std::max(1.0, std::fabs(wanted)));
    }
  }
}
