#include "net/curl_library.h"

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>

namespace agentmesh::net {
namespace {

constexpr const char* kName = "libcurl.so.4";
constexpr const char* kNoGnutls = "GNUTLS_NO_IMPLICIT_INIT";
constexpr int kUnavailable = 5;

[[noreturn]] void missing() {
  const char* why = ::dlerror();
  std::fprintf(stderr, "agentmesh: http: %s (apt-get install libcurl4)\n", why == nullptr ? kName : why);
  std::exit(kUnavailable);
}

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  if (function == nullptr) missing();
}

CurlLibrary load() {
  // GnuTLS comes along for protocols that we never speak; by this it is not set up, which saves 0.7 MB.
  ::setenv(kNoGnutls, "1", 1);
  void* const library = ::dlopen(kName, RTLD_LAZY | RTLD_LOCAL);
  ::unsetenv(kNoGnutls);
  if (library == nullptr) missing();
  CurlLibrary out{};
  find(library, "curl_global_init", out.global_init);
  find(library, "curl_easy_init", out.easy_init);
  find(library, "curl_easy_cleanup", out.easy_cleanup);
  find(library, "curl_easy_setopt", out.easy_setopt);
  find(library, "curl_easy_getinfo", out.easy_getinfo);
  find(library, "curl_easy_strerror", out.easy_strerror);
  find(library, "curl_multi_init", out.multi_init);
  find(library, "curl_multi_cleanup", out.multi_cleanup);
  find(library, "curl_multi_setopt", out.multi_setopt);
  find(library, "curl_multi_add_handle", out.multi_add_handle);
  find(library, "curl_multi_remove_handle", out.multi_remove_handle);
  find(library, "curl_multi_info_read", out.multi_info_read);
  find(library, "curl_multi_socket_action", out.multi_socket_action);
  find(library, "curl_slist_append", out.slist_append);
  find(library, "curl_slist_free_all", out.slist_free_all);
  return out;
}

}  // namespace

const CurlLibrary& curl() {
  static const CurlLibrary library = load();
  return library;
}

}  // namespace agentmesh::net
