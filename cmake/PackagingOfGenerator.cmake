# Read by cpack for each generator: of the tarball the libraries are a part, of the .deb they are not.
if(CPACK_GENERATOR STREQUAL "TGZ")
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build_folder)
  list(APPEND CPACK_INSTALL_CMAKE_PROJECTS "${build_folder};muster;bundle;/")
endif()
set(SHLIBDEPS_EXECUTABLE "${CMAKE_CURRENT_LIST_DIR}/shlibdeps")  # CPackDeb's own search is content with it
