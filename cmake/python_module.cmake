# The Python module aspd_local._core.

find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT pybind11_DIR)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE pybind11_dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(pybind11_DIR "${pybind11_dir}" CACHE PATH "folder of pybind11Config.cmake")
endif()
find_package(pybind11 3.0 CONFIG REQUIRED)

file(GLOB binding_sources CONFIGURE_DEPENDS cpp/bindings/*.cpp)
# Translation only, so small is fast enough. pybind11's headers take longer than what the files say: four share a reading.
pybind11_add_module(_core MODULE OPT_SIZE ${binding_sources})
set_target_properties(_core PROPERTIES UNITY_BUILD ON UNITY_BUILD_BATCH_SIZE 4)
target_link_libraries(_core PRIVATE aspd aspd_own_code)

# Only PyInit__core leaves the module.
if(APPLE)
  target_link_options(_core PRIVATE -Wl,-exported_symbol,_PyInit__core)
elseif(UNIX)
  target_link_options(_core PRIVATE -Wl,--exclude-libs,ALL "-Wl,--version-script=${CMAKE_CURRENT_LIST_DIR}/module.map")
  set_target_properties(_core PROPERTIES LINK_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/module.map")
endif()

# A GPU's libraries may lie where the loader does not look.
set_target_properties(_core PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS _core LIBRARY DESTINATION aspd_local)
