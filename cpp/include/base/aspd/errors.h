// Typed errors of the engine. Each carries its facts as fields, so nobody parses text.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace aspd {

// Base of all errors but bad arguments, which are std::invalid_argument.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A model file is missing, not GGUF, truncated or unsupported.
class ModelError : public Error {
 public:
  ModelError(std::string path, const std::string& message)
      : Error(path.empty() ? message : path + ": " + message), path_(std::move(path)) {}
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A request does not fit the context. Thrown before anything is decoded.
class ContextFullError : public Error {
 public:
  // needed, available: cells of the KV cache.
  ContextFullError(std::size_t needed, std::size_t available)
      : Error("the context is full: " + std::to_string(needed) + " cells needed, " +
              std::to_string(available) + " available"),
        needed_(needed),
        available_(available) {}
  [[nodiscard]] std::size_t needed() const { return needed_; }
  [[nodiscard]] std::size_t available() const { return available_; }

 private:
  std::size_t needed_;
  std::size_t available_;
};

// The caller stopped a load or a wait.
class CancelledError : public Error {
 public:
  using Error::Error;
};

// llama.cpp could not compute a batch. code: its return code.
class DecodeError : public Error {
 public:
  DecodeError(int code, const std::string& message) : Error(message), code_(code) {}
  [[nodiscard]] int code() const { return code_; }

 private:
  int code_;
};

// A second thread is inside the engine.
class EngineBusyError : public Error {
 public:
  EngineBusyError() : Error("another thread is inside this engine") {}
};

// A protocol's markers are absent from the vocabulary, not CONTROL, or its file is malformed.
class ProtocolError : public Error {
 public:
  ProtocolError(std::string protocol, const std::string& message)
      : Error("protocol '" + protocol + "': " + message), protocol_(std::move(protocol)) {}
  [[nodiscard]] const std::string& protocol() const { return protocol_; }

 private:
  std::string protocol_;
};

}  // namespace aspd
