#include <exception>

#include "aspd/errors.h"
#include "bindings.h"

namespace py = pybind11;

namespace {

// Raises aspd_local.errors.<name>(*args), so that the fields of an error arrive with it.
template <typename... Args>
void raise(const char* name, const Args&... args) {
  const py::object type = py::module_::import("aspd_local.errors").attr(name);
  const py::object error = type(args...);
  PyErr_SetObject(type.ptr(), error.ptr());
}

}  // namespace

void bind_errors(py::module_& /*m*/) {
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const aspd::ModelError& e) {
      raise("ModelError", to_str(e.what()), to_path(e.path()));
    } catch (const aspd::ContextFullError& e) {
      raise("ContextFullError", e.needed(), e.available());
    } catch (const aspd::CancelledError& e) {
      raise("CancelledError", e.what());
    } catch (const aspd::DecodeError& e) {
      raise("DecodeError", e.code(), e.what());
    } catch (const aspd::EngineBusyError&) {
      raise("EngineBusyError");
    } catch (const aspd::ProtocolError& e) {
      raise("ProtocolError", e.protocol(), e.what());
    } catch (const aspd::Error& e) {
      raise("AspdError", e.what());
    }
  });
}
