# The packages (cpack -G DEB, cpack -G TGZ): every program, the CLI also as a plugin of kubectl. The .deb depends on Debian's
# libraries; the tarball brings its own in lib/muster and runs wherever glibc is not older than that of Debian 12.
install(FILES "${CMAKE_SOURCE_DIR}/LICENSE" DESTINATION share/doc/muster RENAME copyright)
if(EXISTS /usr/share/doc/libtorch1.13/copyright)  # of the copies in lib/muster
  install(FILES /usr/share/doc/libtorch1.13/copyright DESTINATION share/doc/muster RENAME copyright.libtorch)
endif()
install(CODE "execute_process(COMMAND \"${CMAKE_SOURCE_DIR}/images/bundle\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}\"
                              COMMAND_ERROR_IS_FATAL ANY)" COMPONENT bundle EXCLUDE_FROM_ALL)

set(CPACK_PACKAGE_NAME muster)
set(CPACK_PACKAGE_VENDOR "Muster")
set(CPACK_PACKAGE_CONTACT "The Muster authors <muster@muster.dev>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Trains models on decentralized data, on Kubernetes or without a cluster")
set(CPACK_PACKAGE_DIRECTORY "${CMAKE_BINARY_DIR}/../package")
set(CPACK_PACKAGE_FILE_NAME "muster-${PROJECT_VERSION}-linux-amd64")
set(CPACK_MUSTER_TORCH "${MUSTER_TORCH}")  # the next file reads it
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_PROJECT_CONFIG_FILE "${CMAKE_CURRENT_LIST_DIR}/PackagingOfGenerator.cmake")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE zstd)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# What is loaded by name, and of several that provide libblas.so.3 the one that is fast.
set(CPACK_DEBIAN_PACKAGE_DEPENDS libopenblas0-pthread)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS dataset-fashion-mnist)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS "${CMAKE_BINARY_DIR}/lib/muster")
include(CPack)
