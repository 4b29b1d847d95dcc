# Our own kernels for narrow matrix products: cpp/kernels. Each file that needs an instruction set gets the
# compiler's flag for it and looks at run time whether the processor has it.

include(CheckCXXCompilerFlag)

# Is the change of patches/op-hook.patch in? Not where the CPU backend is a library of its own.
set(ASPD_HAS_OP_HOOK 0)
file(STRINGS "${llama_cpp_dir}/ggml/src/ggml-cpu/traits.h" op_hook REGEX "ggml_cpu_set_op_hook")
if(op_hook AND NOT GGML_BACKEND_DL AND NOT BUILD_SHARED_LIBS)
  set(ASPD_HAS_OP_HOOK 1)
else()
  message(WARNING "This llama.cpp has no place for our kernels: narrow steps will be as slow as llama.cpp's own.")
endif()

file(GLOB kernel_sources CONFIGURE_DEPENDS cpp/kernels/*.cpp)
if(ASPD_HAS_OP_HOOK)
  list(FILTER kernel_sources EXCLUDE REGEX "/absent\\.cpp$")
else()
  list(FILTER kernel_sources INCLUDE REGEX "/absent\\.cpp$")
endif()
add_library(aspd_kernels STATIC ${kernel_sources})
target_include_directories(aspd_kernels PUBLIC cpp/kernels)
target_include_directories(aspd_kernels SYSTEM PRIVATE
  "${llama_cpp_dir}/ggml/src" "${llama_cpp_dir}/ggml/src/ggml-cpu")
target_link_libraries(aspd_kernels PRIVATE aspd_own_code ggml)

function(aspd_instruction_set file)
  string(MAKE_C_IDENTIFIER "ASPD_COMPILES_${file}" compiles)
  string(REPLACE ";" " " flags "${ARGN}")
  check_cxx_compiler_flag("${flags}" ${compiles})
  if(${compiles})
    set_source_files_properties("cpp/kernels/${file}" PROPERTIES COMPILE_OPTIONS "${ARGN}")
  endif()
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT MSVC)
  aspd_instruction_set(x86_avx2.cpp -mavx2 -mfma -mf16c)
  aspd_instruction_set(x86_avxvnni.cpp -mavx2 -mfma -mf16c -mavxvnni)
  aspd_instruction_set(x86_avx512vnni.cpp -mavx2 -mfma -mf16c -mavx512f -mavx512bw -mavx512vl -mavx512vnni)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$" AND NOT MSVC)
  aspd_instruction_set(arm_dotprod.cpp -march=armv8.2-a+dotprod)
  aspd_instruction_set(arm_i8mm.cpp -march=armv8.2-a+dotprod+i8mm)
endif()
