# muster_trimmed_torch: copies of Debian's libtorch_cpu and libc10 in lib/muster, less the NEEDED entries of which they
# use no symbol. Debian's libtorch names OpenCV, and with it Qt and ffmpeg: 324 libraries, which cost each start of a pod
# half of its CPU time. The programs find the copies by their RPATH (MusterTargets.cmake), built and installed alike.
# Not a target where patchelf is missing, or with another libtorch: then the programs load it where it lies.
find_program(PATCHELF patchelf)
mark_as_advanced(PATCHELF)
if(NOT MUSTER_TRIM_TORCH OR NOT PATCHELF OR NOT MUSTER_TORCH STREQUAL debian)
  return()
endif()
set(MUSTER_TRIMMED_TORCH)
foreach(original IN LISTS MUSTER_TORCH_FILES)
  execute_process(COMMAND "${PATCHELF}" --print-soname "${original}" OUTPUT_VARIABLE soname OUTPUT_STRIP_TRAILING_WHITESPACE
                  COMMAND_ERROR_IS_FATAL ANY)
  set(copy "${CMAKE_BINARY_DIR}/lib/muster/${soname}")
  add_custom_command(OUTPUT "${copy}"
                     COMMAND "${CMAKE_CURRENT_LIST_DIR}/trim_needed" "${PATCHELF}" "${original}" "${copy}"
                     DEPENDS "${original}" "${CMAKE_CURRENT_LIST_DIR}/trim_needed" VERBATIM)
  list(APPEND MUSTER_TRIMMED_TORCH "${copy}")
endforeach()
add_custom_target(muster_trimmed_torch DEPENDS ${MUSTER_TRIMMED_TORCH})
install(FILES ${MUSTER_TRIMMED_TORCH} DESTINATION lib/muster)
