#include "net/http_client.h"

#include "base/unique_fd.h"
#include "net/curl_loop.h"
#include "net/http_transfer.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <unordered_map>

#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace agentmesh::net {

namespace asio = boost::asio;

class HttpClient::Impl : public std::enable_shared_from_this<HttpClient::Impl> {
 public:
  explicit Impl(asio::any_io_executor executor)
      : executor_(std::move(executor)),
        loop_(std::make_shared<CurlLoop>(executor_, [this](CURL* easy, int code) { ended(easy, code); })) {}

  static Task<HttpResponse> send(std::shared_ptr<Impl> self, HttpRequest request);
  void close();

 private:
  // Holds the transfer in the loop for as long as the coroutine that waits for it lives.
  class Attached {
   public:
    Attached(Impl& impl, std::shared_ptr<Transfer> transfer) : impl_(impl), transfer_(std::move(transfer)) {
      impl_.attach(transfer_);
    }
    ~Attached() { impl_.detach(transfer_); }
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;

   private:
    Impl& impl_;
    std::shared_ptr<Transfer> transfer_;
  };

  void attach(const std::shared_ptr<Transfer>& transfer);
  void detach(const std::shared_ptr<Transfer>& transfer);
  void drop(CURL* easy);
  void ended(CURL* easy, int code);

  asio::any_io_executor executor_;
  std::unordered_map<CURL*, std::shared_ptr<Transfer>> transfers_;
  std::shared_ptr<CurlLoop> loop_;
  bool closed_ = false;
};

void HttpClient::Impl::attach(const std::shared_ptr<Transfer>& transfer) {
  transfers_.emplace(transfer->easy(), transfer);
  if (!closed_ && loop_->add(transfer->easy())) return;
  transfers_.erase(transfer->easy());
  transfer->finish(Error{ErrorCode::unavailable, "http", "the HTTP client is closed", ""});
}

void HttpClient::Impl::detach(const std::shared_ptr<Transfer>& transfer) {
  transfer->abandon();
  if (!transfers_.contains(transfer->easy())) return;
  if (!loop_->inside()) return drop(transfer->easy());
  asio::post(executor_, [self = shared_from_this(), transfer] { self->drop(transfer->easy()); });
}

void HttpClient::Impl::drop(CURL* easy) {
  const auto found = transfers_.find(easy);
  if (found == transfers_.end()) return;
  loop_->remove(easy);
  transfers_.erase(found);
}

void HttpClient::Impl::ended(CURL* easy, int code) {
  const auto found = transfers_.find(easy);
  if (found == transfers_.end()) return;
  const auto transfer = found->second;
  drop(easy);
  transfer->finish(code);
}

void HttpClient::Impl::close() {
  closed_ = true;
  const auto under_way = std::move(transfers_);
  transfers_.clear();
  for (const auto& [easy, transfer] : under_way) {
    loop_->remove(easy);
    transfer->finish(Error{ErrorCode::unavailable, "http", "the HTTP client was closed", ""});
  }
}

Task<HttpResponse> HttpClient::Impl::send(std::shared_ptr<Impl> self, HttpRequest request) {
  const auto transfer = std::make_shared<Transfer>(self->executor_, std::move(request));
  if (auto ready = transfer->prepare(); !ready) co_return pass(std::move(ready.error()));
  if (self->loop_->inside()) co_await asio::post(self->executor_, asio::use_awaitable);
  const Attached attached(*self, transfer);
  while (!transfer->done()) {
    boost::system::error_code ec;
    transfer->wake().expires_at(transfer->next_check());
    co_await transfer->wake().async_wait(asio::redirect_error(asio::use_awaitable, ec));
    if (transfer->done()) break;
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    if (cancelled.cancelled() != asio::cancellation_type::none) {
      co_return fail(ErrorCode::timeout, "http", "the request was cancelled");
    }
    if (auto passed = transfer->passed_limit()) co_return pass(std::move(*passed));
  }
  co_return transfer->outcome();
}

HttpClient::HttpClient(asio::any_io_executor executor) : impl_(std::make_shared<Impl>(std::move(executor))) {}

HttpClient::~HttpClient() { impl_->close(); }

Task<HttpResponse> HttpClient::send(HttpRequest request) { return Impl::send(impl_, std::move(request)); }

std::string_view HttpResponse::header(std::string_view name) const {
  for (const auto& header : headers) {
    if (header.name == name) return header.value;
  }
  return {};
}

Result<HttpUpload> upload_file(const std::string& path) {
  const auto file = std::make_shared<UniqueFd>(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  const auto cannot = [&](int error) {
    const auto code = error == ENOENT   ? ErrorCode::not_found
                      : error == EACCES ? ErrorCode::denied
                                        : ErrorCode::invalid;
    return fail(code, "http", "cannot read " + path + ": " + std::strerror(error));
  };
  if (!file->valid()) return cannot(errno);
  struct stat status{};
  if (::fstat(file->get(), &status) != 0) return cannot(errno);
  if (!S_ISREG(status.st_mode)) return fail(ErrorCode::invalid, "http", path + " is not a regular file");
  auto pull = [file, path](std::span<char> buffer) -> Result<std::size_t> {
    const auto read = ::read(file->get(), buffer.data(), buffer.size());
    if (read < 0) return fail(ErrorCode::internal, "http", "reading " + path + ": " + std::strerror(errno));
    return static_cast<std::size_t>(read);
  };
  return HttpUpload{std::move(pull), static_cast<std::uint64_t>(status.st_size)};
}

}  // namespace agentmesh::net
