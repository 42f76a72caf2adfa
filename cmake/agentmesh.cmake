# What every target shares, and the three kinds of target there are: module, test, program.

add_library(agentmesh_options INTERFACE)
target_include_directories(agentmesh_options INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(agentmesh_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Wimplicit-fallthrough
  -Wno-missing-field-initializers -fno-omit-frame-pointer -fvisibility=hidden)
target_compile_definitions(agentmesh_options INTERFACE
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_DISABLE_VISIBILITY BOOST_PROCESS_V2_SEPARATE_COMPILATION
  SPDLOG_COMPILED_LIB SPDLOG_FMT_EXTERNAL AGENTMESH_VERSION="${PROJECT_VERSION}")
target_link_libraries(agentmesh_options INTERFACE Threads::Threads)
target_include_directories(agentmesh_options SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_link_options(agentmesh_options INTERFACE -fuse-ld=lld)
  # A PCH made once must be usable by ccache and by every module alike.
  target_compile_options(agentmesh_options INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
endif()
if(AGENTMESH_SANITIZE)
  target_compile_options(agentmesh_options INTERFACE -fsanitize=${AGENTMESH_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(agentmesh_options INTERFACE -fsanitize=${AGENTMESH_SANITIZE})
endif()

# The precompiled header: the standard library, Asio and fmt. Beast and nlohmann are not in it on purpose.
add_library(agentmesh_pch OBJECT ${CMAKE_SOURCE_DIR}/cmake/pch.cc)
target_link_libraries(agentmesh_pch PUBLIC agentmesh_options agentmesh_fmt)
target_precompile_headers(agentmesh_pch PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)

# agentmesh_module(NAME [DEPENDS modules...] [LIBS libraries...]): a static library of every .cc in the folder.
function(agentmesh_module name)
  cmake_parse_arguments(ARG "" "" "DEPENDS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  add_library(am_${name} STATIC ${sources})
  target_link_libraries(am_${name} PUBLIC agentmesh_options agentmesh_fmt)
  target_precompile_headers(am_${name} REUSE_FROM agentmesh_pch)
  foreach(dependency ${ARG_DEPENDS})
    target_link_libraries(am_${name} PUBLIC am_${dependency})
  endforeach()
  target_link_libraries(am_${name} PRIVATE ${ARG_LIBS})
endfunction()

# agentmesh_test(NAME LABEL tier SOURCES ... LIBS modules...): one GoogleTest program, one ctest entry.
function(agentmesh_test name)
  cmake_parse_arguments(ARG "" "LABEL" "SOURCES;LIBS" ${ARGN})
  if(NOT ARG_SOURCES)
    return()
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest GTest::gtest_main
                                        nlohmann_json::nlohmann_json)
  target_precompile_headers(${name} REUSE_FROM agentmesh_pch)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT 900)
endfunction()
