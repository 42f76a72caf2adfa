#include "net/http_transfer.h"

#include "base/socket_address.h"
#include "base/text.h"
#include "net/curl_library.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace agentmesh::net {
namespace {

// This host itself: no proxy of the environment stands between us and it.
bool is_loopback(std::string_view url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string_view::npos) return false;
  const std::string_view host = url.substr(scheme + 3);
  for (const std::string_view name : {"127.0.0.1", "localhost", "[::1]"}) {
    const bool ends = host.size() == name.size() ||
                      (host.size() > name.size() && (host[name.size()] == ':' || host[name.size()] == '/'));
    if (host.starts_with(name) && ends) return true;
  }
  return false;
}

static_assert(CURL_ERROR_SIZE == 256);

Error http_error(ErrorCode code, std::string what) { return Error{code, "http", std::move(what), ""}; }

bool is_token(std::string_view text) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) != 0 || kMarks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool is_header_value(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return c == '\r' || c == '\n' || c == '\0'; });
}

bool is_url(std::string_view url) {
  const bool scheme = url.starts_with("http://") || url.starts_with("https://");
  return scheme && url.size() <= kMaxUrlBytes &&
         std::ranges::all_of(url, [](unsigned char c) { return c > 0x20 && c != 0x7f; });
}

std::optional<Error> problem_of(const HttpRequest& request) {
  const auto invalid = [](std::string what) { return http_error(ErrorCode::invalid, std::move(what)); };
  if (!is_token(request.method)) return invalid("the method is not a word");
  if (!is_url(request.url))
    return invalid("the URL is not http:// or https://, or is too long, or has spaces");
  if (request.unix_socket.size() > kMaxSocketPath) {
    return invalid(fmt::format("the socket's path is over {} bytes", kMaxSocketPath));
  }
  for (const auto& header : request.headers) {
    if (!is_token(header.name) || !is_header_value(header.value)) return invalid("a header is malformed");
  }
  return std::nullopt;
}

// Exceptions must not cross curl's C frames.
template <class Body>
bool guarded(Body body) {
  try {
    return body();
  } catch (...) {
    return false;
  }
}

}  // namespace

Transfer::Transfer(const boost::asio::any_io_executor& executor, HttpRequest request)
    : request_(std::move(request)), wake_(executor), easy_(curl().easy_init()) {}

Transfer::~Transfer() {
  if (easy_ != nullptr) curl().easy_cleanup(easy_);
  curl().slist_free_all(headers_);
}

Result<> Transfer::prepare() {
  if (const auto problem = problem_of(request_)) return pass(*problem);
  if (easy_ == nullptr) return pass(http_error(ErrorCode::exhausted, "no memory for a request"));
  const auto set = [this](CURLoption option, auto value) { curl().easy_setopt(easy_, option, value); };
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_ERRORBUFFER, problem_);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout.count()));
  set(CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  if (request_.receive_per_second > 0)
    set(CURLOPT_MAX_RECV_SPEED_LARGE, static_cast<curl_off_t>(request_.receive_per_second));
  if (!request_.unix_socket.empty()) {
    set(CURLOPT_UNIX_SOCKET_PATH, request_.unix_socket.c_str());
  }
  if (!request_.unix_socket.empty() || is_loopback(request_.url)) set(CURLOPT_PROXY, "");
  set_method();
  set_headers();
  started_ = active_ = Steady::now();
  return {};
}

void Transfer::set_method() {
  const auto set = [this](CURLoption option, auto value) { curl().easy_setopt(easy_, option, value); };
  if (request_.upload) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_READFUNCTION, &Transfer::on_upload);
    set(CURLOPT_READDATA, this);
    set(CURLOPT_POSTFIELDSIZE_LARGE,
        request_.upload->bytes ? static_cast<curl_off_t>(*request_.upload->bytes) : curl_off_t{-1});
    set(CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
    // On a connection of its own curl has no reason to send the body a second time, which it could not.
    set(CURLOPT_FRESH_CONNECT, 1L);
  } else if (!request_.body.empty() || request_.method == "POST" || request_.method == "PUT") {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body.size()));
    set(CURLOPT_POSTFIELDS, request_.body.c_str());
  } else if (request_.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  }
  if (request_.method != "GET" && request_.method != "HEAD")
    set(CURLOPT_CUSTOMREQUEST, request_.method.c_str());
}

void Transfer::set_headers() {
  const auto add = [this](const std::string& line) {
    headers_ = curl().slist_append(headers_, line.c_str());
  };
  bool typed = false;
  for (const auto& [name, value] : request_.headers) {
    typed = typed || lower_case(name) == "content-type";
    add(value.empty() ? name + ";" : name + ": " + value);
  }
  add("Expect:");
  if (!typed) add("Content-Type:");
  if (request_.upload && !request_.upload->bytes) add("Transfer-Encoding: chunked");
  curl().easy_setopt(easy_, CURLOPT_HTTPHEADER, headers_);
}

std::size_t Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const bool go_on = guarded([&] { return transfer->take_header({data, size * count}); });
  return go_on ? size * count : 0;
}

bool Transfer::take_header(std::string_view line) {
  active_ = Steady::now();
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxResponseHeaderBytes || response_.headers.size() >= kMaxResponseHeaders) {
    return refuse(ErrorCode::exhausted, "the answer's header is over its limit");
  }
  if (line.starts_with("HTTP/")) {  // also after an interim answer
    head_complete_ = false;
    response_.headers.clear();
    long status = 0;
    curl().easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
    response_.status = static_cast<int>(status);
    return true;
  }
  if (trim(line).empty()) return head_complete();
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  response_.headers.push_back(
      {lower_case(trim(line.substr(0, colon))), std::string(trim(line.substr(colon + 1)))});
  return true;
}

bool Transfer::head_complete() {
  head_complete_ = true;
  if (response_.status >= 200 && request_.on_head && !abandoned_) request_.on_head(response_.status);
  return !abandoned_;
}

std::size_t Transfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  const bool go_on = guarded([&] { return transfer->take_body({data, size * count}); });
  return go_on ? size * count : 0;
}

bool Transfer::take_body(std::string_view data) {
  if (abandoned_ || done_) return false;
  active_ = Steady::now();
  if (streaming()) {
    response_.stopped = request_.on_data(data) == Flow::stop;
    return !response_.stopped;
  }
  auto& body = response_.body;
  if (request_.on_data) {
    body.append(data.substr(0, kMaxErrorBodyBytes - std::min(body.size(), kMaxErrorBodyBytes)));
    return true;
  }
  if (data.size() > request_.max_response_bytes - std::min(body.size(), request_.max_response_bytes)) {
    return refuse(ErrorCode::exhausted,
                  fmt::format("the answer is over the limit of {} bytes", request_.max_response_bytes));
  }
  body.append(data);
  return true;
}

std::size_t Transfer::on_upload(char* buffer, std::size_t size, std::size_t count, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  std::size_t filled = CURL_READFUNC_ABORT;
  guarded([&] {
    if (transfer->abandoned_) return false;
    transfer->active_ = Steady::now();
    auto read = transfer->request_.upload->pull({buffer, size * count});
    if (!read) {
      transfer->error_ = std::move(read.error());
      return false;
    }
    filled = *read;
    return true;
  });
  return filled;
}

bool Transfer::refuse(ErrorCode code, std::string what) {
  error_ = http_error(code, std::move(what));
  return false;
}

void Transfer::finish(int code) {
  code_ = code;
  done_ = true;
  wake_.cancel();
}

void Transfer::finish(Error error) {
  error_ = std::move(error);
  done_ = true;
  wake_.cancel();
}

Transfer::Steady::time_point Transfer::next_check() const {
  auto next = Steady::time_point::max();
  if (request_.total_timeout.count() > 0) next = std::min(next, started_ + request_.total_timeout);
  if (request_.stall_limit.count() > 0) next = std::min(next, active_ + request_.stall_limit);
  return next;
}

std::optional<Error> Transfer::passed_limit() const {
  if (Steady::now() < next_check()) return std::nullopt;
  const bool total = request_.total_timeout.count() > 0 && Steady::now() >= started_ + request_.total_timeout;
  return http_error(ErrorCode::timeout, total ? fmt::format("no complete answer from {} within {}", peer(),
                                                            format_duration(request_.total_timeout))
                                              : fmt::format("{} has said nothing for {}", peer(),
                                                            format_duration(request_.stall_limit)));
}

std::string Transfer::peer() const {
  if (!request_.unix_socket.empty()) return request_.unix_socket;
  const auto start = request_.url.find("://") + 3;
  return request_.url.substr(start, request_.url.find_first_of("/?#", start) - start);
}

Result<HttpResponse> Transfer::outcome() {
  if (error_) return pass(std::move(*error_));
  if (code_ == CURLE_OK && !head_complete_)
    code_ = CURLE_PARTIAL_FILE;  // curl takes half a header for a whole one
  if (code_ == CURLE_OK || response_.stopped) return std::move(response_);
  return pass(error_of(code_));
}

Error Transfer::cannot_connect(const std::string& why) const {
  long os_error = 0;
  curl().easy_getinfo(easy_, CURLINFO_OS_ERRNO, &os_error);
  if (os_error == EACCES || os_error == EPERM) {
    return http_error(ErrorCode::denied, fmt::format("no permission to connect to {}", peer()));
  }
  const std::string reason = os_error != 0 ? std::string(std::strerror(static_cast<int>(os_error))) : why;
  return http_error(ErrorCode::unavailable, fmt::format("cannot connect to {}: {}", peer(), reason));
}

Error Transfer::error_of(int code) const {
  const std::string why = problem_[0] != '\0' ? problem_ : curl().easy_strerror(static_cast<CURLcode>(code));
  switch (code) {
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_OPERATION_TIMEDOUT:  // only of connecting: the other limits are ours
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return cannot_connect(why);
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return http_error(ErrorCode::invalid, why);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
      return http_error(read_only() ? ErrorCode::unavailable : ErrorCode::timeout,
                        fmt::format("the answer of {} broke off: {}", peer(), why));
    case CURLE_OUT_OF_MEMORY:
      return http_error(ErrorCode::exhausted, why);
    default:
      return http_error(ErrorCode::internal, fmt::format("{}: {}", peer(), why));
  }
}

}  // namespace agentmesh::net
