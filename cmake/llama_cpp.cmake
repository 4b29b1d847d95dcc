# llama.cpp as a subproject: the pinned tree in third_party/llama.cpp, or the checkout named by ASPD_LLAMA_CPP_DIR.
# Sets ASPD_LLAMA_COMMIT and ASPD_HAS_POSITION_GAPS; makes the targets llama, ggml and aspd_llama_common.

set(third_party "${PROJECT_SOURCE_DIR}/third_party")
set(ASPD_LLAMA_CPP_DIR "$ENV{ASPD_LLAMA_CPP_DIR}" CACHE PATH "a llama.cpp checkout to build instead of the pinned one")

if(ASPD_LLAMA_CPP_DIR)
  get_filename_component(llama_cpp_dir "${ASPD_LLAMA_CPP_DIR}" ABSOLUTE BASE_DIR "${CMAKE_BINARY_DIR}")
  if(NOT EXISTS "${llama_cpp_dir}/include/llama.h")
    message(FATAL_ERROR " ASPD_LLAMA_CPP_DIR has no include/llama.h: ${llama_cpp_dir}")
  endif()
else()
  set(llama_cpp_dir "${third_party}/llama.cpp")
  aspd_fetch(fetch.py llama_cpp.json fetch.py patching.py)
  file(GLOB patches CONFIGURE_DEPENDS "${third_party}/patches/*.patch")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${patches})
endif()

# The commit, for build_info().
set(ASPD_LLAMA_COMMIT unknown)
if(NOT ASPD_LLAMA_CPP_DIR)
  file(READ "${third_party}/llama_cpp.json" pin)
  string(JSON ASPD_LLAMA_COMMIT GET "${pin}" commit)
elseif(EXISTS "${llama_cpp_dir}/.git")
  execute_process(
    COMMAND git -C "${llama_cpp_dir}" rev-parse HEAD
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(commit)
    set(ASPD_LLAMA_COMMIT ${commit})
  endif()
endif()
if(NOT EXISTS "${llama_cpp_dir}/.git")
  # llama.cpp asks git for the commit, and git would answer with that of the folders above.
  set(LLAMA_BUILD_COMMIT ${ASPD_LLAMA_COMMIT})
  set(LLAMA_BUILD_NUMBER 0)
  set(GIT_EXE "OFF" CACHE INTERNAL "")
endif()

# Is the change of patches/position-gaps.patch in?
file(STRINGS "${llama_cpp_dir}/src/llama-batch.cpp" gap_allowed REGEX "if \\(seq_pos_min\\(s\\) <= p0\\)")
if(gap_allowed)
  set(ASPD_HAS_POSITION_GAPS 1)
else()
  set(ASPD_HAS_POSITION_GAPS 0)
  message(WARNING "This llama.cpp refuses position gaps: the join rule `sum` will not be available.")
endif()

# Our defaults for llama.cpp's options; -D on the command line wins. A threadpool of our own serves in place of OpenMP.
set(BUILD_SHARED_LIBS OFF)
option(GGML_OPENMP "ggml: use OpenMP" OFF)
option(GGML_CCACHE "ggml: use ccache if available" OFF) # cmake/compiler.cmake does
option(LLAMA_ALL_WARNINGS "llama: enable all compiler warnings" OFF)
foreach(part COMMON TESTS TOOLS EXAMPLES SERVER APP UI)
  set(LLAMA_BUILD_${part} OFF)
endforeach()
set(LLAMA_OPENSSL OFF)
set(LLAMA_SUBPROCESS OFF)
set(LLAMA_LLGUIDANCE OFF)

add_subdirectory("${llama_cpp_dir}" "${CMAKE_BINARY_DIR}/llama.cpp" EXCLUDE_FROM_ALL SYSTEM)

# The graphs of single architectures, some 150 small files that include the same large headers: compiled many at once
# they take a third of the time.
file(GLOB graph_sources "${llama_cpp_dir}/src/models/*.cpp")
set(n 0)
foreach(source ${graph_sources})
  math(EXPR group "${n} / 12")
  math(EXPR n "${n} + 1")
  set_property(SOURCE "${source}" TARGET_DIRECTORY llama PROPERTY UNITY_GROUP "graphs_${group}")
endforeach()
set_target_properties(llama PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)

# Of llama.cpp's common code the Jinja engine and the converter of JSON schemas, without the rest of it. The converter is
# compiled away from its folder, so that it finds our small common.h and not llama.cpp's.
file(GLOB common_sources "${llama_cpp_dir}/common/jinja/*.cpp")
list(APPEND common_sources "${llama_cpp_dir}/common/json.cpp" "${llama_cpp_dir}/common/unicode.cpp")
foreach(name json-schema json-schema-to-grammar trie)
  configure_file("${llama_cpp_dir}/common/${name}.cpp" "${CMAKE_BINARY_DIR}/llama_common/${name}.cpp" COPYONLY)
  list(APPEND common_sources "${CMAKE_BINARY_DIR}/llama_common/${name}.cpp")
endforeach()
add_library(aspd_llama_common STATIC EXCLUDE_FROM_ALL ${common_sources})
target_include_directories(aspd_llama_common BEFORE PRIVATE "${PROJECT_SOURCE_DIR}/cpp/llama_common")
target_include_directories(aspd_llama_common SYSTEM PUBLIC "${llama_cpp_dir}/common" "${llama_cpp_dir}/vendor")
target_link_libraries(aspd_llama_common PUBLIC ggml)
