// Process-wide start-up of llama.cpp and its log. The only globals of the library.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace aspd {

// Levels as Python's logging has them: 10, 20, 30, 40.
struct LogLine {
  int level;
  std::string text;
};

// Idempotent; called by Model::load.
void start_backend();
// Takes the lines logged since the last call; the oldest are dropped beyond 1,000.
std::vector<LogLine> drain_log();
// The first error line that llama.cpp logged since clear_first_error(): what follows says less. Empty: none.
std::string first_error();
void clear_first_error();
// Build facts: our version, llama.cpp's commit, patched or not, backends and CPU features.
std::string build_info();
// Names of the GPUs that this build can use; empty: none.
std::vector<std::string> gpu_devices();
// Why a build for GPUs has none here, one line; empty: it has one, or the build is for CPUs alone.
std::string missing_gpu();
// Performance cores that this process may use, hyper-threads counted once; on Linux no more than the quotas
// of its control groups allow. What both thread counts are by default.
[[nodiscard]] std::int32_t physical_cores();
[[nodiscard]] bool has_position_gaps();  // the patch for `sum` is in

}  // namespace aspd
