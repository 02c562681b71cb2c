# Read by cpack for each generator: of the tarball the libraries are a part, of the .deb they are not.
if(NOT CPACK_MUSTER_TORCH STREQUAL debian)
  message(FATAL_ERROR "Packages carry Debian's libtorch and depend on its libraries, and this build folder was made with "
                      "MUSTER_TORCH=${CPACK_MUSTER_TORCH}; package from one that was made with MUSTER_TORCH=debian")
endif()
if(CPACK_GENERATOR STREQUAL "TGZ")
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build_folder)
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS "${build_folder};muster;bundle;/")
endif()
set(SHLIBDEPS_EXECUTABLE "${CMAKE_CURRENT_LIST_DIR}/shlibdeps")  # CPackDeb's own search is content with it
