# Libraries whose headers hold all of them are compiled in, not linked: every shared C++ library costs each
# command its loading and relocation, and every pane's relay and the daemon their memory. With libstdc++ in the
# program too (cli/CMakeLists.txt) a command starts in two thirds of the time. The definitions are those of the
# distribution's packages.
add_library(agentmesh_fmt STATIC ${CMAKE_SOURCE_DIR}/cmake/compiled_fmt.cc)
target_compile_definitions(agentmesh_fmt PUBLIC FMT_SHARED)
add_library(agentmesh_toml STATIC ${CMAKE_SOURCE_DIR}/cmake/compiled_toml.cc)
target_compile_definitions(agentmesh_toml PUBLIC TOML_HEADER_ONLY=0 TOML_SHARED_LIB=1)
foreach(library agentmesh_fmt agentmesh_toml)
  target_link_libraries(${library} PRIVATE agentmesh_options)
endforeach()
