#pragma once
// libcurl, loaded when the first HTTP client is made instead of when the process starts. It brings thirty
// libraries along: half of the time of a command like `list`, which asks the daemon without it, and most of
// the memory of a pane's relay. Its functions, under their own names without "curl_".

#include <curl/curl.h>

namespace agentmesh::net {

struct CurlLibrary {
  decltype(&curl_global_init) global_init;
  decltype(&curl_easy_init) easy_init;
  decltype(&curl_easy_cleanup) easy_cleanup;
  decltype(&curl_easy_setopt) easy_setopt;
  decltype(&curl_easy_getinfo) easy_getinfo;
  decltype(&curl_easy_strerror) easy_strerror;
  decltype(&curl_multi_init) multi_init;
  decltype(&curl_multi_cleanup) multi_cleanup;
  decltype(&curl_multi_setopt) multi_setopt;
  decltype(&curl_multi_add_handle) multi_add_handle;
  decltype(&curl_multi_remove_handle) multi_remove_handle;
  decltype(&curl_multi_info_read) multi_info_read;
  decltype(&curl_multi_socket_action) multi_socket_action;
  decltype(&curl_slist_append) slist_append;
  decltype(&curl_slist_free_all) slist_free_all;
};

// Loads it at the first call and keeps it. A library that is missing ends the process with a line on standard
// error and exit code 5, as the dynamic linker would end it before main.
const CurlLibrary& curl();

}  // namespace agentmesh::net
