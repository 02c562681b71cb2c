# NVIDIA's compiler and headers, where there are some: from MUSTER_CUDA_ROOT, a toolkit (CUDA_HOME, /usr/local/cuda), what ./dev setup
# cuda has fetched, or the packages of python3. Programs need none of it: NCCL, the CUDA runtime and NVML are loaded at run time (ADR 23).
#   MUSTER_NVCC           nvcc, of 12.4 or newer
#   MUSTER_CUDA_INCLUDE   the folder of cuda_runtime_api.h
#   MUSTER_NCCL_INCLUDE   the folder of nccl.h
#   MUSTER_NVML_INCLUDE   the folder of nvml.h
# Each is empty where it was not found.
set(MUSTER_CUDA AUTO CACHE STRING "What is compiled by nvcc or against NVIDIA's headers: AUTO (where they are found), ON (or fail), OFF")
set_property(CACHE MUSTER_CUDA PROPERTY STRINGS AUTO ON OFF)
set(MUSTER_CUDA_ROOT "" CACHE PATH "A CUDA toolkit, or the folder 'nvidia' of Python packages; empty: look for one")

function(muster_find_cuda)
  set(roots ${MUSTER_CUDA_ROOT})
  if(NOT roots)
    set(roots $ENV{CUDA_HOME} /usr/local/cuda "${CMAKE_SOURCE_DIR}/build/tools/cuda/nvidia" "${CMAKE_SOURCE_DIR}/build/tools/nccl/nvidia")
    execute_process(COMMAND python3 -c "import nvidia; print(*nvidia.__path__, sep=';')" OUTPUT_VARIABLE of_python ERROR_QUIET
                    OUTPUT_STRIP_TRAILING_WHITESPACE)
    list(APPEND roots ${of_python})
  endif()
  # A toolkit has bin and include; packages of Python have a folder cu13 with both (13 and newer), and nccl beside it.
  find_program(MUSTER_NVCC nvcc PATHS ${roots} PATH_SUFFIXES bin cu13/bin NO_DEFAULT_PATH)
  find_path(MUSTER_CUDA_INCLUDE cuda_runtime_api.h PATHS ${roots} PATH_SUFFIXES include cu13/include NO_DEFAULT_PATH)
  find_path(MUSTER_NCCL_INCLUDE nccl.h PATHS ${roots} PATH_SUFFIXES include nccl/include NO_DEFAULT_PATH)
  find_path(MUSTER_NVML_INCLUDE nvml.h PATHS ${roots} PATH_SUFFIXES include cu13/include nvml_dev/include nvml/include NO_DEFAULT_PATH)
  if(MUSTER_NVCC)
    execute_process(COMMAND "${MUSTER_NVCC}" --version OUTPUT_VARIABLE version ERROR_QUIET)
    string(REGEX MATCH "release ([0-9.]+)" found "${version}")
    if(NOT found OR CMAKE_MATCH_1 VERSION_LESS 12.4)  # C++20 with g++ 12
      set(MUSTER_NVCC "")
    endif()
  endif()
  foreach(name IN ITEMS MUSTER_NVCC MUSTER_CUDA_INCLUDE MUSTER_NCCL_INCLUDE MUSTER_NVML_INCLUDE)
    mark_as_advanced(${name})
    if(NOT ${name})  # the cache's NOTFOUND stays, so that the next configuration looks again
      set(${name} "" PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

# muster_cuda_objects(NAME SOURCES a.cu b.cu): compiles sources by nvcc, by the rules of common/codec/arithmetic.h, into a static library.
function(muster_cuda_objects name)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  set(objects)
  foreach(source IN LISTS ARG_SOURCES)
    get_filename_component(stem ${source} NAME_WE)
    set(object "${CMAKE_CURRENT_BINARY_DIR}/${stem}.cu.o")
    # Machine code of an A100 and a H100, and what a newer driver compiles for others.
    add_custom_command(OUTPUT "${object}" DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/${source}" DEPFILE "${object}.d" VERBATIM
                       COMMAND "${MUSTER_NVCC}" -ccbin "${CMAKE_CXX_COMPILER}" -std=c++20 -O2 -fmad=false --expt-relaxed-constexpr -Werror all-warnings
                               -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=compute_90
                               -Xcompiler -ffp-contract=off "-I${CMAKE_SOURCE_DIR}" -MD -MF "${object}.d" -c "${CMAKE_CURRENT_SOURCE_DIR}/${source}" -o "${object}")
    list(APPEND objects "${object}")
  endforeach()
  add_library(${name} STATIC ${objects})
  set_target_properties(${name} PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

if(MUSTER_CUDA STREQUAL "OFF")
  set(MUSTER_NVCC "")
  set(MUSTER_CUDA_INCLUDE "")
  set(MUSTER_NCCL_INCLUDE "")
  set(MUSTER_NVML_INCLUDE "")
else()
  muster_find_cuda()
  if(MUSTER_CUDA STREQUAL "ON" AND (NOT MUSTER_NVCC OR NOT MUSTER_CUDA_INCLUDE OR NOT MUSTER_NCCL_INCLUDE))
    message(FATAL_ERROR "MUSTER_CUDA=ON needs nvcc 12.4 or newer (found: '${MUSTER_NVCC}'), cuda_runtime_api.h ('${MUSTER_CUDA_INCLUDE}') and nccl.h "
                        "('${MUSTER_NCCL_INCLUDE}'): run ./dev setup cuda, or name a toolkit by MUSTER_CUDA_ROOT")
  elseif(NOT MUSTER_NVCC)
    message(STATUS "CUDA: no nvcc, so kernels are not compiled (./dev setup cuda fetches one); GPUs are used all the same where they are found at run time")
  else()
    message(STATUS "CUDA: ${MUSTER_NVCC}; nccl.h: '${MUSTER_NCCL_INCLUDE}'")
  endif()
endif()
