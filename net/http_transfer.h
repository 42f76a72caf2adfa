#pragma once
// One HTTP exchange: the easy handle, what it has received, and its translation into a Result. Internal to
// net/.

#include "net/http_client.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/steady_timer.hpp>
typedef void CURL;  // as curl/curl.h has it
struct curl_slist;

namespace agentmesh::net {

class Transfer {
 public:
  using Steady = std::chrono::steady_clock;

  Transfer(const boost::asio::any_io_executor& executor, HttpRequest request);
  ~Transfer();
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  // Checks the request and sets the handle up. Errors: invalid.
  Result<> prepare();
  CURL* easy() const { return easy_; }
  boost::asio::steady_timer& wake() { return wake_; }

  bool done() const { return done_; }
  void finish(int code);                 // curl is done with it
  void finish(Error error);              // we are
  void abandon() { abandoned_ = true; }  // nobody waits: no handler may be called again
  bool abandoned() const { return abandoned_; }

  Steady::time_point next_check() const;  // of the two limits below
  std::optional<Error> passed_limit() const;
  Result<HttpResponse> outcome();

 private:
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_upload(char* buffer, std::size_t size, std::size_t count, void* self);

  void set_method();
  void set_headers();
  bool take_header(std::string_view line);
  bool head_complete();
  bool take_body(std::string_view data);
  bool streaming() const { return request_.on_data && response_.status / 100 == 2; }
  bool refuse(ErrorCode code, std::string what);
  bool read_only() const { return request_.method == "GET" || request_.method == "HEAD"; }
  std::string peer() const;
  Error error_of(int code) const;
  Error cannot_connect(const std::string& why) const;

  HttpRequest request_;
  HttpResponse response_;
  boost::asio::steady_timer wake_;
  CURL* easy_ = nullptr;
  curl_slist* headers_ = nullptr;
  std::size_t header_bytes_ = 0;
  Steady::time_point started_;
  Steady::time_point active_;
  std::optional<Error> error_;
  int code_ = 0;  // a CURLcode
  bool head_complete_ = false;
  bool done_ = false;
  bool abandoned_ = false;
  char problem_[256] = {};
};

}  // namespace agentmesh::net
