// Single products through ggml, for tests and bench/kernels.py.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "ggml-cpu.h"
#include "ggml.h"
#include "ggml_owned.h"
#include "narrow.h"
#include "repack.h"
#include "type_names.h"

namespace aspd::kernels {

namespace {

struct FreePool {
  void operator()(ggml_threadpool* pool) const { ggml_threadpool_free(pool); }
};

ggml_type type_of(const std::string& name) {
  const ggml_type type = type_named(name);
  if (type == GGML_TYPE_COUNT) throw std::invalid_argument("unknown type of weights: " + name);
  return type;
}

// Numbers between -1 and 1 that look random.
std::vector<float> noise(std::size_t n, std::uint32_t seed) {
  std::vector<float> values(n);
  for (float& value : values) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<std::int32_t>(seed)) / 2147483648.0F;
  }
  return values;
}

// Seconds of a graph.
double compute(ggml_cgraph* graph, std::int32_t n_threads, ggml_threadpool* pool,
               std::vector<std::uint8_t>& work) {
  ggml_cplan plan = ggml_graph_plan(graph, n_threads, pool);
  work.resize(plan.work_size);
  plan.work_data = work.data();
  const auto start = std::chrono::steady_clock::now();
  if (ggml_graph_compute(graph, &plan) != GGML_STATUS_SUCCESS) throw std::invalid_argument("ggml failed");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<float> values_of(const ggml_tensor* tensor) {
  std::vector<float> values(static_cast<std::size_t>(ggml_nelements(tensor)));
  ggml_backend_tensor_get(tensor, values.data(), 0, values.size() * sizeof(float));
  return values;
}

// Matrices of weights, a right-hand side, and a graph that multiplies each of them with it.
class Trial {
 public:
  Trial(const std::string& type, bool repack, std::int64_t n_rows, std::int64_t k, std::int32_t n_matrices,
        std::int32_t width, std::int32_t n_threads)
      : type_(type_of(type)), n_rows_(n_rows), k_(k) {
    if (n_rows < 1 || k < 1 || n_matrices < 1 || width < 1 || n_threads < 1)
      throw std::invalid_argument("sizes must be at least 1");
    if (k % ggml_blck_size(type_) != 0)
      throw std::invalid_argument("rows of " + type + " are multiples of " +
                                  std::to_string(ggml_blck_size(type_)));
    const auto n_tensors = 2 * static_cast<std::size_t>(n_matrices) + 2;
    ggml_init_params params{};
    params.mem_size = n_tensors * ggml_tensor_overhead() + ggml_graph_overhead_custom(n_tensors, false);
    params.no_alloc = true;
    weights_memory_.reset(ggml_init(params));
    memory_.reset(ggml_init(params));
    for (std::int32_t i = 0; i < n_matrices; ++i)
      weights_.push_back(ggml_new_tensor_2d(weights_memory_.get(), type_, k, n_rows));
    x_ = ggml_new_tensor_2d(memory_.get(), GGML_TYPE_F32, k, width);
    graph_ = ggml_new_graph_custom(memory_.get(), n_tensors, false);
    for (ggml_tensor* weights : weights_) {
      ggml_tensor* product = ggml_mul_mat(memory_.get(), weights, x_);
      ggml_build_forward_expand(graph_, product);
    }
    ggml_backend_buffer_type_t plain = ggml_backend_cpu_buffer_type();
    weights_buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(
        weights_memory_.get(), repack ? ggml_backend_cpu_repack_buffer_type() : plain));
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(memory_.get(), plain));
    if (!weights_buffer_ || !buffer_) throw std::invalid_argument("no memory for so large matrices");
    if (repack && weights_.front()->extra == nullptr)
      throw std::invalid_argument(type + " of this size is not repacked on this processor");
    ggml_threadpool_params pool = ggml_threadpool_params_default(n_threads);
    pool_.reset(ggml_threadpool_new(&pool));
    n_threads_ = n_threads;
  }

  void set_weights(const std::vector<float>& values) {
    std::vector<char> quantised(static_cast<std::size_t>(n_rows_) * ggml_row_size(type_, k_));
    ggml_quantize_chunk(type_, values.data(), quantised.data(), 0, n_rows_, k_, nullptr);
    set_quantised(quantised);
  }
  void set_quantised(const std::vector<char>& bytes) {
    for (ggml_tensor* weights : weights_) ggml_backend_tensor_set(weights, bytes.data(), 0, bytes.size());
  }
  // As they lie in memory now.
  [[nodiscard]] std::vector<char> weights() const {
    const auto* from = static_cast<const char*>(weights_.front()->data);
    return {from, from + ggml_nbytes(weights_.front())};
  }
  void set_x(const std::vector<float>& values) {
    ggml_backend_tensor_set(x_, values.data(), 0, values.size() * sizeof(float));
  }
  double run() { return compute(graph_, n_threads_, pool_.get(), work_); }
  [[nodiscard]] std::vector<float> result() const { return values_of(ggml_graph_node(graph_, -1)); }
  [[nodiscard]] std::size_t weight_bytes() const { return weights_.size() * ggml_nbytes(weights_.front()); }

 private:
  ggml_type type_;
  std::int64_t n_rows_;
  std::int64_t k_;
  std::int32_t n_threads_ = 1;
  OwnedContext weights_memory_;
  OwnedContext memory_;
  OwnedBuffer weights_buffer_;
  OwnedBuffer buffer_;
  std::unique_ptr<ggml_threadpool, FreePool> pool_;
  std::vector<ggml_tensor*> weights_;
  ggml_tensor* x_ = nullptr;
  ggml_cgraph* graph_ = nullptr;
  std::vector<std::uint8_t> work_;
};

// Attention of layers, one after the other, to caches of their own.
class AttentionTrial {
 public:
  AttentionTrial(const AttentionShape& of, std::int32_t n_layers, std::int32_t n_threads)
      : n_threads_(n_threads) {
    const ggml_type type = type_of(of.type);
    if (of.n_lanes < 1 || of.n_heads < 1 || of.n_cached < 1 || of.dk < 1 || of.dv < 1 || of.n_cells < 1 ||
        n_layers < 1 || n_threads < 1)
      throw std::invalid_argument("sizes must be at least 1");
    if (of.n_heads % of.n_cached != 0 || of.dk % ggml_blck_size(type) != 0 ||
        of.dv % ggml_blck_size(type) != 0)
      throw std::invalid_argument(
          "heads must be multiples of those of the cache, and rows of its type's blocks");
    const auto n_tensors = 3 * static_cast<std::size_t>(n_layers) + 2;
    ggml_init_params params{};
    params.mem_size = n_tensors * ggml_tensor_overhead() + ggml_graph_overhead_custom(n_tensors, false);
    params.no_alloc = true;
    memory_.reset(ggml_init(params));
    ggml_context* memory = memory_.get();
    q_ = ggml_new_tensor_3d(memory, GGML_TYPE_F32, of.dk, of.n_lanes, of.n_heads);
    mask_ = ggml_new_tensor_2d(memory, GGML_TYPE_F16, of.n_cells, of.n_lanes);
    graph_ = ggml_new_graph_custom(memory, n_tensors, false);
    const float scale = 1 / std::sqrt(static_cast<float>(of.dk));
    for (std::int32_t i = 0; i < n_layers; ++i) {
      k_.push_back(ggml_new_tensor_3d(memory, type, of.dk, of.n_cells, of.n_cached));
      v_.push_back(ggml_new_tensor_3d(memory, type, of.dv, of.n_cells, of.n_cached));
      ggml_build_forward_expand(graph_,
                                ggml_flash_attn_ext(memory, q_, k_.back(), v_.back(), mask_, scale, 0, 0));
    }
    buffer_.reset(ggml_backend_alloc_ctx_tensors_from_buft(memory, ggml_backend_cpu_buffer_type()));
    if (!buffer_) throw std::invalid_argument("no memory for so large a cache");
    ggml_threadpool_params pool = ggml_threadpool_params_default(n_threads);
    pool_.reset(ggml_threadpool_new(&pool));
  }

  void set(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v,
           const std::vector<float>& mask) {
    fill(q_, q);
    fill(mask_, mask);
    for (ggml_tensor* tensor : k_) fill(tensor, k);
    for (ggml_tensor* tensor : v_) fill(tensor, v);
  }
  double run() { return compute(graph_, n_threads_, pool_.get(), work_); }
  [[nodiscard]] std::vector<float> result() const { return values_of(ggml_graph_node(graph_, -1)); }

 private:
  static void fill(ggml_tensor* tensor, const std::vector<float>& values) {
    if (values.size() != static_cast<std::size_t>(ggml_nelements(tensor)))
      throw std::invalid_argument("q, k, v or mask has the wrong size");
    std::vector<char> bytes(ggml_nbytes(tensor));
    if (tensor->type == GGML_TYPE_F32) {
      std::memcpy(bytes.data(), values.data(), bytes.size());
    } else {
      ggml_quantize_chunk(tensor->type, values.data(), bytes.data(), 0, ggml_nrows(tensor), tensor->ne[0],
                          nullptr);
    }
    ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
  }

  std::int32_t n_threads_;
  OwnedContext memory_;
  OwnedBuffer buffer_;
  std::unique_ptr<ggml_threadpool, FreePool> pool_;
  ggml_tensor* q_ = nullptr;
  ggml_tensor* mask_ = nullptr;
  std::vector<ggml_tensor*> k_;
  std::vector<ggml_tensor*> v_;
  ggml_cgraph* graph_ = nullptr;
  std::vector<std::uint8_t> work_;
};

}  // namespace

std::vector<float> attention(const AttentionShape& shape, const std::vector<float>& q,
                             const std::vector<float>& k, const std::vector<float>& v,
                             const std::vector<float>& mask, std::int32_t n_threads) {
  AttentionTrial trial(shape, 1, n_threads);
  trial.set(q, k, v, mask);
  (void)trial.run();
  return trial.result();
}

std::vector<double> time_attention(const AttentionShape& shape, std::int32_t n_layers, std::int32_t n_threads,
                                   std::int32_t n_times) {
  AttentionTrial trial(shape, n_layers, n_threads);
  const auto size = [](std::int64_t a, std::int64_t b, std::int64_t c) {
    return static_cast<std::size_t>(a * b * c);
  };
  trial.set(noise(size(shape.n_heads, shape.n_lanes, shape.dk), 1),
            noise(size(shape.n_cached, shape.n_cells, shape.dk), 2),
            noise(size(shape.n_cached, shape.n_cells, shape.dv), 3),
            std::vector<float>(size(shape.n_lanes, shape.n_cells, 1), 0.0F));
  std::vector<double> seconds;
  (void)trial.run();
  for (std::int32_t i = 0; i < n_times; ++i) seconds.push_back(trial.run());
  return seconds;
}

ProductTimes time_products(const std::string& type, bool repack, std::int64_t n_rows, std::int64_t k,
                           std::int32_t n_matrices, std::int32_t width, std::int32_t n_threads,
                           std::int32_t n_times) {
  Trial trial(type, repack, n_rows, k, n_matrices, width, n_threads);
  trial.set_weights(noise(static_cast<std::size_t>(n_rows * k), 1));
  trial.set_x(noise(static_cast<std::size_t>(width * k), 2));
  ProductTimes times;
  times.type = type;
  times.repacked = repack;
  times.weight_bytes = trial.weight_bytes();
  (void)trial.run();
  for (std::int32_t i = 0; i < n_times; ++i) times.seconds.push_back(trial.run());
  return times;
}

double read_bandwidth(std::size_t n_bytes, std::int32_t n_threads) {
  if (n_bytes < sizeof(std::uint64_t) || n_threads < 1)
    throw std::invalid_argument("sizes must be at least 1");
  const std::vector<std::uint64_t> words(n_bytes / sizeof(std::uint64_t), 1);
  const std::size_t share = words.size() / static_cast<std::size_t>(n_threads);
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    std::atomic<std::uint64_t> total{0};  // used, so that the reading is not left out
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> threads;
    for (std::int32_t t = 0; t < n_threads; ++t) {
      threads.emplace_back([&, t] {
        const std::uint64_t* from = words.data() + static_cast<std::size_t>(t) * share;
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < share; ++i) sum += from[i];
        total += sum;
      });
    }
    for (std::thread& thread : threads) thread.join();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (total == share * static_cast<std::size_t>(n_threads))
      best = std::max(best, static_cast<double>(total * sizeof(std::uint64_t)) / seconds);
  }
  return best;
}

std::vector<float> product(const std::string& type, bool repack, const std::vector<float>& weights,
                           const std::vector<float>& x, std::int64_t n_rows, std::int64_t k,
                           std::int32_t n_threads) {
  if (k < 1 || weights.size() != static_cast<std::size_t>(n_rows * k) || x.empty() ||
      x.size() % static_cast<std::size_t>(k) != 0)
    throw std::invalid_argument("weights are [n_rows * k], x is [n * k]");
  Trial trial(type, repack, n_rows, k, 1, static_cast<std::int32_t>(x.size() / static_cast<std::size_t>(k)),
              n_threads);
  trial.set_weights(weights);
  trial.set_x(x);
  (void)trial.run();
  return trial.result();
}

std::vector<char> repacked_rows(const std::string& type, const std::vector<char>& weights,
                                std::int64_t n_rows, std::int64_t k) {
  Trial trial(type, true, n_rows, k, 1, 1, 1);
  if (weights.size() != trial.weight_bytes())
    throw std::invalid_argument("weights are n_rows quantised rows");
  trial.set_quantised(weights);
  return trial.weights();
}

}  // namespace aspd::kernels
