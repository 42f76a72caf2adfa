#include "agents/opencode_api.h"

#include "base/ids.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "net/http_client.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/format.h>

namespace agentmesh::agents {

namespace {

constexpr Millis kConnectLimit{2'000};
constexpr std::size_t kEventBytesPerSecond = 1024 * 1024;
constexpr std::size_t kMaxAnswerBytes = 32 * 1024 * 1024;  // a conversation with large tool outputs

class HttpApi final : public OpencodeApi {
 public:
  explicit HttpApi(const LinkContext& context)
      : http_(context.http),
        port_(context.http_port),
        password_(context.http_password),
        base_url_(port_ != 0 ? fmt::format("http://127.0.0.1:{}", port_)
                             : "http://opencode-" + random_hex(8)) {
    if (port_ == 0) folder_ = UniqueFd(::open(context.run_dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

  Task<ApiAnswer> get(std::string path, Millis limit) override {
    net::HttpRequest request = make("GET", path);
    request.total_timeout = limit;
    co_return co_await answer(std::move(request));
  }

  Task<ApiAnswer> post(std::string path, std::string body, Millis limit) override {
    net::HttpRequest request = make("POST", path);
    request.headers.push_back({"Content-Type", "application/json"});
    request.body = std::move(body);
    request.total_timeout = limit;
    co_return co_await answer(std::move(request));
  }

  Task<> events(std::function<bool(std::string_view)> sink, Millis silence) override {
    net::HttpRequest request = make("GET", "/event");
    request.headers.push_back({"Accept", "text/event-stream"});
    request.total_timeout = Millis{0};
    request.stall_limit = silence;
    request.receive_per_second = kEventBytesPerSecond;
    request.on_data = [sink = std::move(sink)](std::string_view bytes) {
      return sink(bytes) ? net::Flow::more : net::Flow::stop;
    };
    const auto response = co_await send(std::move(request));
    if (!response) co_return pass(response.error());
    if (response->status != 200) {
      co_return fail(ErrorCode::unavailable, "opencode",
                     fmt::format("its events answer {}", response->status));
    }
    co_return fail(ErrorCode::unavailable, "opencode", "its events ended");
  }

 private:
  net::HttpRequest make(std::string method, const std::string& path) const {
    net::HttpRequest request;
    request.method = std::move(method);
    request.connect_timeout = kConnectLimit;
    request.max_response_bytes = kMaxAnswerBytes;
    request.url = base_url_ + path;
    if (!password_.empty()) {
      request.headers.push_back({"Authorization", "Basic " + base64("opencode:" + password_.reveal())});
    }
    return request;
  }

  // The agent owns the folder: what is not a socket, a link above all, is not followed out of the sandbox.
  // Through a descriptor also because a socket's path may have 107 bytes only.
  Task<net::HttpResponse> send(net::HttpRequest request) {
    if (port_ != 0) co_return co_await http_.send(std::move(request));
    const UniqueFd socket(::openat(folder_.get(), "http.sock", O_PATH | O_NOFOLLOW | O_CLOEXEC));
    struct stat status{};
    if (!socket.valid() || ::fstat(socket.get(), &status) != 0) {
      co_return fail(ErrorCode::unavailable, "opencode",
                     fmt::format("cannot open http.sock: {}", std::strerror(errno)));
    }
    if (!S_ISSOCK(status.st_mode)) co_return fail(ErrorCode::denied, "opencode", "http.sock is not a socket");
    request.unix_socket = fmt::format("/proc/self/fd/{}", socket.get());
    co_return co_await http_.send(std::move(request));
  }

  Task<ApiAnswer> answer(net::HttpRequest request) {
    auto response = co_await send(std::move(request));
    if (!response) co_return pass(response.error());
    co_return ApiAnswer{response->status, std::move(response->body)};
  }

  net::HttpClient& http_;
  std::uint16_t port_;
  Secret password_;
  // A host of its own for each agent: open connections are kept by host and path, and the number of a
  // descriptor, which is the path, is given again to the next agent.
  std::string base_url_;
  UniqueFd folder_;
};

}  // namespace

std::unique_ptr<OpencodeApi> make_opencode_api(const LinkContext& context) {
  return std::make_unique<HttpApi>(context);
}

}  // namespace agentmesh::agents
