# muster_libtorch: the libtorch that MUSTER_TORCH names, for whoever links it, and MUSTER_TORCH_FILES, its libraries. Its TorchConfig.cmake
# isn't asked: that of a Python package wants nvcc where it has a CUDA half, and names libraries that nothing here uses.
set(MUSTER_TORCH debian CACHE STRING
    "libtorch: debian (of the package libtorch-dev), python (in the package torch of MUSTER_PYTHON), or a folder that has one's include and lib")
set(MUSTER_PYTHON python3 CACHE STRING "With MUSTER_TORCH=python: whose package torch it is, a name on the PATH or a path")
option(MUSTER_TORCH_CUDA "Train on GPUs: link the CUDA half of libtorch, which MUSTER_TORCH's must have" OFF)

function(muster_torch_fail text)
  message(FATAL_ERROR "MUSTER_TORCH=${MUSTER_TORCH}: ${text}")
endfunction()

function(muster_torch_folder folder)  # of MUSTER_TORCH=python
  find_program(python "${MUSTER_PYTHON}" NO_CACHE)
  if(NOT python)
    muster_torch_fail("there is no Python \"${MUSTER_PYTHON}\" here; name one that has the package torch by -DMUSTER_PYTHON=PATH (./dev setup python-torch makes one)")
  endif()
  # Found, not imported: that takes seconds, and a CUDA build wants its driver's libraries.
  execute_process(COMMAND "${python}" -c "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
                  OUTPUT_VARIABLE found OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_VARIABLE told RESULT_VARIABLE failed)
  if(failed)
    muster_torch_fail("${python} could not be asked: ${told}; name another by -DMUSTER_PYTHON=PATH")
  elseif(NOT found)
    muster_torch_fail("${python} has no package torch; install one (${python} -m pip install torch, or ./dev setup python-torch), or name another Python by -DMUSTER_PYTHON=PATH")
  elseif(NOT EXISTS "${found}/include/ATen/ATen.h")
    muster_torch_fail("the package ${found} has no headers; install pip's, or take MUSTER_TORCH=debian")
  endif()
  set(${folder} "${found}" PARENT_SCOPE)
endfunction()

if(MUSTER_TORCH STREQUAL debian)
  set(torch_include /usr/include)
  set(torch_lib "/usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}")
  set(remedy "install Debian's libtorch-dev (./dev setup), or take another by -DMUSTER_TORCH=python or a folder")
else()
  if(MUSTER_TORCH STREQUAL python)
    muster_torch_folder(torch_folder)
  else()
    cmake_path(ABSOLUTE_PATH MUSTER_TORCH BASE_DIRECTORY "${CMAKE_SOURCE_DIR}" NORMALIZE OUTPUT_VARIABLE torch_folder)
  endif()
  set(torch_include "${torch_folder}/include")
  set(torch_lib "${torch_folder}/lib")
  set(remedy "MUSTER_TORCH is debian, python, or a folder that has include/ATen and lib/libtorch_cpu.so, as an unpacked libtorch or site-packages/torch")
endif()
foreach(needed "${torch_include}/ATen/ATen.h" "${torch_lib}/libtorch_cpu.so" "${torch_lib}/libc10.so")
  if(NOT EXISTS "${needed}")
    muster_torch_fail("there is no ${needed}; ${remedy}")
  endif()
endforeach()

# Objects of one libtorch, and its copies in lib/muster, would be met by another.
if(NOT "$CACHE{MUSTER_TORCH_OF_FOLDER}" STREQUAL "" AND NOT "$CACHE{MUSTER_TORCH_OF_FOLDER}" STREQUAL torch_lib)
  set(asked "${MUSTER_TORCH}")
  list(GET MUSTER_TORCH_CHOICE 0 before)  # the folder goes on with what it has
  set(MUSTER_TORCH "${before}" CACHE STRING "" FORCE)
  list(GET MUSTER_TORCH_CHOICE 1 before)
  set(MUSTER_PYTHON "${before}" CACHE STRING "" FORCE)
  set(MUSTER_TORCH "${asked}")
  muster_torch_fail("${CMAKE_BINARY_DIR} was made with the libtorch in $CACHE{MUSTER_TORCH_OF_FOLDER}, and this is the one in ${torch_lib}; remove the folder, or name another (cmake -B)")
endif()

# muster_reads_torch(a.cc b.cc): these sources of the folder include libtorch's headers. They alone, and no header of fmt or protobuf
# beside: a Python package brings its own versions of both.
set(MUSTER_TORCH_OPTIONS -isystem "${torch_include}/torch/csrc/api/include")
if(NOT torch_include IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
  list(APPEND MUSTER_TORCH_OPTIONS -isystem "${torch_include}")
endif()
function(muster_reads_torch)
  set_property(SOURCE ${ARGN} APPEND PROPERTY COMPILE_OPTIONS ${MUSTER_TORCH_OPTIONS})
endfunction()

add_library(muster_libtorch INTERFACE)
set(MUSTER_TORCH_FILES "${torch_lib}/libtorch_cpu.so" "${torch_lib}/libc10.so")
target_link_libraries(muster_libtorch INTERFACE ${MUSTER_TORCH_FILES})

# Wheels before torch 2.7 have std::string by its layout of 2014.
include(CheckCXXSourceCompiles)
unset(MUSTER_TORCH_LINKS CACHE)
list(JOIN MUSTER_TORCH_OPTIONS " " CMAKE_REQUIRED_FLAGS)
set(CMAKE_REQUIRED_LIBRARIES "${torch_lib}/libc10.so")
set(CMAKE_REQUIRED_QUIET ON)
check_cxx_source_compiles("#include <c10/util/Exception.h>\nint main() { c10::detail::torchCheckFail(\"\", \"\", 0, std::string()); }" MUSTER_TORCH_LINKS)
unset(CMAKE_REQUIRED_FLAGS)
unset(CMAKE_REQUIRED_LIBRARIES)
unset(CMAKE_REQUIRED_QUIET)
if(NOT MUSTER_TORCH_LINKS)
  muster_torch_fail("a program of this compiler doesn't link to ${torch_lib}/libc10.so: torch before 2.7 is built for the old ABI of std::string (_GLIBCXX_USE_CXX11_ABI=0); install torch 2.7 or newer. Of other causes, ${CMAKE_BINARY_DIR}/CMakeFiles/CMakeError.log tells")
endif()

if(MUSTER_TORCH_CUDA)
  foreach(needed torch_cuda c10_cuda)
    if(NOT EXISTS "${torch_lib}/lib${needed}.so")
      muster_torch_fail("MUSTER_TORCH_CUDA=ON, and there is no ${torch_lib}/lib${needed}.so: this libtorch is for CPUs; install one for CUDA (pip install torch), or set MUSTER_TORCH_CUDA=OFF")
    endif()
  endforeach()
  # No symbol of it is named: it registers its kernels when it is loaded.
  target_link_libraries(muster_libtorch INTERFACE
    "-Wl,--push-state,--no-as-needed,${torch_lib}/libtorch_cuda.so,${torch_lib}/libc10_cuda.so,--pop-state")
endif()
set(MUSTER_TORCH_CHOICE "${MUSTER_TORCH}" "${MUSTER_PYTHON}" CACHE INTERNAL "")
set(MUSTER_TORCH_OF_FOLDER "${torch_lib}" CACHE INTERNAL "The libtorch that this build folder was made with")
