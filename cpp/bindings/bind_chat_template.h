#pragma once

#include <pybind11/pybind11.h>

void bind_chat_template(pybind11::module_& m);
