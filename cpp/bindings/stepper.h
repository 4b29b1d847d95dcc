// Runs an engine's steps on a thread of their own, so that the calling thread sees signals while a long
// prefill is computed. Nothing is called from C++ into Python but the check for signals.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "aspd/engine.h"

class Stepper {
 public:
  explicit Stepper(aspd::Engine& engine);
  ~Stepper();
  Stepper(const Stepper&) = delete;
  Stepper& operator=(const Stepper&) = delete;

  // Needs the GIL; gives it up while it waits. Throws what the step threw; pybind11::error_already_set when a
  // signal's handler raised, and then the step is broken off and its events come with the next call.
  std::vector<aspd::Event> step();

 private:
  void work();

  aspd::Engine& engine_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<bool> inside_{false};  // a thread is in step()
  bool wanted_ = false;
  bool done_ = false;
  bool leaving_ = false;
  std::vector<aspd::Event> events_;
  std::exception_ptr error_;
  std::thread thread_;
};
