#pragma once
// A client that sends exactly the bytes it is told and keeps what comes back: for servers' bad days.

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

namespace agentmesh::test {

class RawClient : public std::enable_shared_from_this<RawClient> {
 public:
  static std::shared_ptr<RawClient> tcp(boost::asio::io_context& io, std::uint16_t port) {
    boost::asio::ip::tcp::socket socket(io);
    socket.connect({boost::asio::ip::make_address("127.0.0.1"), port});
    return start(std::move(socket));
  }
  static std::shared_ptr<RawClient> local(boost::asio::io_context& io, const std::string& path) {
    boost::asio::local::stream_protocol::socket socket(io);
    socket.connect(boost::asio::local::stream_protocol::endpoint(path));
    return start(std::move(socket));
  }

  void send(std::string bytes) {
    const auto kept = std::make_shared<std::string>(std::move(bytes));
    boost::asio::async_write(socket_, boost::asio::buffer(*kept),
                             [kept, self = shared_from_this()](auto, auto) {});
  }
  void stop_reading() { reading_ = false; }
  void close() { socket_.close(); }

  const std::string& received() const { return received_; }
  bool ended() const { return ended_; }
  bool has(std::string_view text) const { return received_.find(text) != std::string::npos; }
  // "HTTP/1.1 NNN": NNN; 0 when there is none yet.
  int status() const { return received_.size() < 12 ? 0 : std::stoi(received_.substr(9, 3)); }
  void clear() { received_.clear(); }

 private:
  explicit RawClient(boost::asio::generic::stream_protocol::socket socket) : socket_(std::move(socket)) {}

  template <class Socket>
  static std::shared_ptr<RawClient> start(Socket socket) {
    const std::shared_ptr<RawClient> client(new RawClient(std::move(socket)));
    client->read();
    return client;
  }

  void read() {
    socket_.async_read_some(boost::asio::buffer(scrap_),
                            [weak = weak_from_this()](auto ec, std::size_t bytes) {
                              const auto self = weak.lock();
                              if (!self) return;
                              self->received_.append(self->scrap_.data(), bytes);
                              self->ended_ = static_cast<bool>(ec);
                              if (!ec && self->reading_) self->read();
                            });
  }

  boost::asio::generic::stream_protocol::socket socket_;
  std::array<char, 16384> scrap_;
  std::string received_;
  bool ended_ = false;
  bool reading_ = true;
};

}  // namespace agentmesh::test
