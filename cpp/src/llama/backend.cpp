#include "aspd/backend.h"

#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>

#include "ggml-backend.h"
#include "ggml.h"
#include "llama.h"
#include "narrow.h"

#ifndef ASPD_HAS_POSITION_GAPS
#error "the build must say whether llama.cpp allows position gaps"
#endif

namespace aspd {

namespace {

constexpr std::size_t kMostLines = 1000;

struct Log {
  std::mutex mutex;
  std::deque<LogLine> lines;
  std::string partial;  // llama.cpp logs a line in pieces
  int level = 20;
  std::string first_error;
  std::string start_error;  // of the backends' start
};

Log& log() {
  static Log instance;
  return instance;
}

int python_level(ggml_log_level level) {
  switch (level) {
    case GGML_LOG_LEVEL_DEBUG: return 10;
    case GGML_LOG_LEVEL_WARN: return 30;
    case GGML_LOG_LEVEL_ERROR: return 40;
    default: return 20;
  }
}

void take_log(ggml_log_level level, const char* text, void* /*unused*/) {
  Log& to = log();
  const std::lock_guard<std::mutex> lock(to.mutex);
  if (level != GGML_LOG_LEVEL_CONT) to.level = python_level(level);
  to.partial += text;
  for (std::size_t end = to.partial.find('\n'); end != std::string::npos; end = to.partial.find('\n')) {
    std::string line = to.partial.substr(0, end);
    to.partial.erase(0, end + 1);
    if (line.empty()) continue;
    // Frames of longer messages say nothing.
    if (to.level >= 40 && to.first_error.empty() && line.front() != '=') to.first_error = line;
    to.lines.push_back({to.level, std::move(line)});
    if (to.lines.size() > kMostLines) to.lines.pop_front();
  }
}

}  // namespace

void start_backend() {
  static const bool started = [] {
  // A fault must not fork a debugger (ggml.c, ggml_print_backtrace).
#ifdef _WIN32
    _putenv_s("GGML_NO_BACKTRACE", "1");
#else
    setenv("GGML_NO_BACKTRACE", "1", 1);
#endif
    llama_log_set(take_log, nullptr);
    llama_backend_init();
    log().start_error = first_error();
    (void)kernels::install();
    return true;
  }();
  (void)started;
}

std::vector<LogLine> drain_log() {
  Log& from = log();
  const std::lock_guard<std::mutex> lock(from.mutex);
  std::vector<LogLine> lines(from.lines.begin(), from.lines.end());
  from.lines.clear();
  return lines;
}

std::string first_error() {
  Log& from = log();
  const std::lock_guard<std::mutex> lock(from.mutex);
  return from.first_error;
}

void clear_first_error() {
  Log& from = log();
  const std::lock_guard<std::mutex> lock(from.mutex);
  from.first_error.clear();
}

std::string build_info() {
  return std::string("aspd-local " ASPD_VERSION ", llama.cpp " ASPD_LLAMA_COMMIT ", ") +
         (has_position_gaps() ? "position gaps" : "no position gaps") + ", " +
         (kernels::in_use().empty() ? "no kernels" : "kernels for " + kernels::in_use()) + ", " +
         llama_print_system_info();
}

std::vector<std::string> gpu_devices() {
  start_backend();
  std::vector<std::string> names;
  for (std::size_t i = 0; i < ggml_backend_dev_count(); ++i) {
    ggml_backend_dev_t device = ggml_backend_dev_get(i);
    const auto type = ggml_backend_dev_type(device);
    if (type != GGML_BACKEND_DEVICE_TYPE_GPU && type != GGML_BACKEND_DEVICE_TYPE_IGPU) continue;
    names.emplace_back(ggml_backend_dev_description(device));
  }
  return names;
}

std::string missing_gpu() {
  if (!gpu_devices().empty()) return "";
  std::string names;
  for (std::size_t i = 0; i < ggml_backend_reg_count(); ++i) {
    ggml_backend_reg_t backend = ggml_backend_reg_get(i);
    const std::string name = ggml_backend_reg_name(backend);
    if (ggml_backend_reg_dev_count(backend) > 0 || name == "RPC") continue;  // RPC: other machines
    names += (names.empty() ? "" : ", ") + name;
  }
  if (names.empty()) return "";
  const std::string& why = log().start_error;
  return "this build is for " + names + ", but no GPU was found" + (why.empty() ? "" : " (" + why + ")");
}

bool has_position_gaps() { return ASPD_HAS_POSITION_GAPS != 0; }

}  // namespace aspd
