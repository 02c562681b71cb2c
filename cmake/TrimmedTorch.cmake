# muster_trimmed_torch: copies of Debian's libtorch_cpu and libc10 in lib/muster, less the NEEDED entries of which they
# use no symbol. Debian's libtorch names OpenCV, and with it Qt and ffmpeg: 324 libraries, which cost each start of a pod
# half of its CPU time. The programs find the copies by their RPATH (MusterTargets.cmake), built and installed alike.
# Not a target where patchelf is missing, or where libtorch is not the system's: then the programs load what they find.
find_program(PATCHELF patchelf)
mark_as_advanced(PATCHELF)
set(MUSTER_TRIMMED_TORCH)
foreach(library torch_cpu c10)
  get_target_property(configurations ${library} IMPORTED_CONFIGURATIONS)
  list(GET configurations 0 configuration)
  get_target_property(original ${library} IMPORTED_LOCATION_${configuration})
  get_target_property(soname ${library} IMPORTED_SONAME_${configuration})
  cmake_path(GET original PARENT_PATH folder)
  if(NOT MUSTER_TRIM_TORCH OR NOT PATCHELF OR NOT soname OR NOT folder IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    return()
  endif()
  set(copy "${CMAKE_BINARY_DIR}/lib/muster/${soname}")
  add_custom_command(OUTPUT "${copy}"
                     COMMAND "${CMAKE_CURRENT_LIST_DIR}/trim_needed" "${PATCHELF}" "${original}" "${copy}"
                     DEPENDS "${original}" "${CMAKE_CURRENT_LIST_DIR}/trim_needed" VERBATIM)
  list(APPEND MUSTER_TRIMMED_TORCH "${copy}")
endforeach()
add_custom_target(muster_trimmed_torch DEPENDS ${MUSTER_TRIMMED_TORCH})
install(FILES ${MUSTER_TRIMMED_TORCH} DESTINATION lib/muster)
