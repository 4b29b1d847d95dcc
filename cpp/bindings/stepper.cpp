#include "stepper.h"

#include <pybind11/pybind11.h>

#include <chrono>
#include <iterator>
#include <utility>

namespace py = pybind11;

Stepper::Stepper(aspd::Engine& engine) : engine_(engine), thread_([this] { work(); }) {}

Stepper::~Stepper() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    leaving_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Stepper::work() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return wanted_ || leaving_; });
    if (leaving_) return;
    wanted_ = false;
    lock.unlock();
    std::vector<aspd::Event> events;
    std::exception_ptr error;
    try {
      events = engine_.step();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    std::move(events.begin(), events.end(), std::back_inserter(events_));
    error_ = error;
    done_ = true;
    changed_.notify_all();
  }
}

std::vector<aspd::Event> Stepper::step() {
  if (inside_.exchange(true)) throw aspd::EngineBusyError();
  struct Leave {
    std::atomic<bool>& inside;
    ~Leave() { inside = false; }
  } const leave{inside_};
  bool interrupted = false;
  {
    const py::gil_scoped_release release;
    std::unique_lock<std::mutex> lock(mutex_);
    wanted_ = true;
    done_ = false;
    changed_.notify_all();
    while (!changed_.wait_for(lock, std::chrono::milliseconds(20), [this] { return done_; })) {
      if (interrupted) continue;
      lock.unlock();
      {
        const py::gil_scoped_acquire acquire;
        interrupted = PyErr_CheckSignals() != 0;
      }
      if (interrupted) engine_.interrupt();
      lock.lock();
    }
  }
  if (interrupted) throw py::error_already_set();
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  return std::exchange(events_, {});
}
