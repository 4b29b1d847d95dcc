# The library's layers, from the bottom up: folders of cpp/src and cpp/include of the same name, a target each.
# A layer sees its own headers, those of the layers named here, and no others: an include that goes up, or of
# llama.cpp where it has no place, does not compile (tests/source_build/test_configure.py).
#
#   base      errors
#   gguf      reads and checks model files; ggml's types, not llama.h
#   protocol  texts, layouts, plans, lists, grammars; knows no model
#   llama     the one that calls llama.cpp to decode: model, context, cache, sampler, templates
#   engine    requests in, events out
#   convert   files in, files out; calls llama.cpp to quantise

add_library(aspd_base INTERFACE)
target_include_directories(aspd_base INTERFACE cpp/include/base)

# layers: those below whose headers it sees, the private ones in cpp/src too. libraries: of others.
function(aspd_layer name)
  cmake_parse_arguments(layer "" "" "LAYERS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS cpp/src/${name}/*.cpp)
  add_library(aspd_${name} STATIC ${sources})
  target_include_directories(aspd_${name} PUBLIC cpp/include/${name})
  target_link_libraries(aspd_${name} PUBLIC aspd_base PRIVATE aspd_own_code ${layer_LIBRARIES})
  foreach(below IN LISTS layer_LAYERS)
    target_link_libraries(aspd_${name} PUBLIC aspd_${below})
    target_include_directories(aspd_${name} PRIVATE cpp/src/${below})
  endforeach()
endfunction()

aspd_layer(gguf LIBRARIES ggml)
aspd_layer(protocol)
aspd_layer(llama LAYERS gguf protocol LIBRARIES llama ggml aspd_llama_common aspd_kernels)
aspd_layer(engine LAYERS protocol llama LIBRARIES aspd_kernels)
aspd_layer(convert LAYERS gguf llama LIBRARIES llama ggml)

target_compile_definitions(aspd_llama PRIVATE
  ASPD_VERSION="${aspd_version}"
  ASPD_LLAMA_COMMIT="${ASPD_LLAMA_COMMIT}"
  ASPD_HAS_POSITION_GAPS=${ASPD_HAS_POSITION_GAPS})

# What the module and the tests link: everything.
add_library(aspd INTERFACE)
target_link_libraries(aspd INTERFACE aspd_engine aspd_convert aspd_kernels)
