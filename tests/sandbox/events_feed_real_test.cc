// The events of this machine's engine, and a hung engine in between.

#include "sandbox/docker_engine.h"
#include "sandbox/engine_socket.h"
#include "sandbox/events_feed.h"
#include "sandbox/image.h"
#include "tests/net/run_task.h"

#include <chrono>
#include <signal.h>
#include <unistd.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>
#include <gtest/gtest.h>

namespace agentmesh::sandbox {
namespace {

namespace asio = boost::asio;
using test::run_task;

constexpr std::uint64_t kMiB = 1024ULL * 1024;

// A wire between the feed and the engine that a test can cut.
class Relay {
 public:
  Relay(asio::io_context& io, std::string from, std::string to)
      : io_(io),
        from_(std::move(from)),
        to_(std::move(to)),
        acceptor_(io, asio::local::stream_protocol::endpoint(from_)) {
    asio::co_spawn(io_, accept(), asio::detached);
  }
  ~Relay() { ::unlink(from_.c_str()); }
  void cut() {
    for (auto& socket : sockets_) socket->close();
    sockets_.clear();
  }

 private:
  using Socket = asio::local::stream_protocol::socket;
  using Shared = std::shared_ptr<Socket>;

  asio::awaitable<void> accept() {
    for (;;) {
      const auto client = std::make_shared<Socket>(io_);
      co_await acceptor_.async_accept(*client, asio::use_awaitable);
      const auto engine = std::make_shared<Socket>(io_);
      co_await engine->async_connect(to_, asio::use_awaitable);
      sockets_.push_back(client);
      sockets_.push_back(engine);
      asio::co_spawn(io_, copy(client, engine), [](std::exception_ptr) {});
      asio::co_spawn(io_, copy(engine, client), [](std::exception_ptr) {});
    }
  }
  static asio::awaitable<void> copy(Shared from, Shared to) {
    char buffer[4096];
    for (;;) {
      const auto size = co_await from->async_read_some(asio::buffer(buffer), asio::use_awaitable);
      co_await asio::async_write(*to, asio::buffer(buffer, size), asio::use_awaitable);
    }
  }

  asio::io_context& io_;
  std::string from_, to_;
  asio::local::stream_protocol::acceptor acceptor_;
  std::vector<Shared> sockets_;
};

class RealEvents : public ::testing::Test {
 protected:
  void SetUp() override {
    owner_ = fmt::format("test-engine-events-{}", ::getpid());
    image_ = run(resolve_image(engine_, std::string(kBaseImage))).value_or("");
    ASSERT_FALSE(image_.empty());
  }
  void TearDown() override {
    const auto left = run(engine_.list({{std::string(kOwnerLabel), owner_}}));
    for (const auto& container : left.value_or(std::vector<ContainerSummary>{}))
      (void)run(engine_.remove(container.id));
  }

  template <class T>
  Result<T> run(Task<T> task) {
    return run_task<T>(io_, std::move(task));
  }

  EventsHandlers handlers() {
    return {[this](const ContainerEvent& event) { events_.push_back(event); }, [this] { ++connected_; },
            [this](const Error& error) { lost_.push_back(error); }};
  }

  // Drives the loop until the condition holds; the limit is the promise.
  bool eventually(Millis limit, const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + limit;
    io_.restart();
    while (!condition()) {
      if (std::chrono::steady_clock::now() >= until) return false;
      io_.run_one_until(until);
    }
    return true;
  }

  int count(EventType type) const {
    return static_cast<int>(std::ranges::count(events_, type, &ContainerEvent::type));
  }
  const ContainerEvent* find(EventType type, const std::string& id) const {
    const auto found =
        std::ranges::find_if(events_, [&](const auto& e) { return e.type == type && e.container_id == id; });
    return found == events_.end() ? nullptr : &*found;
  }

  Result<std::string> started(std::vector<std::string> command) {
    RunSpec spec;
    spec.image = image_;
    spec.command = std::move(command);
    spec.limits.memory_bytes = 32 * kMiB;
    spec.workdir = "/tmp";
    spec.labels = {{std::string(kOwnerLabel), owner_}, {std::string(kAgentLabel), "a"}};
    auto id = run(engine_.create(fmt::format("{}-{}", owner_, ++number_), spec));
    if (!id) return id;
    const auto ok = run(engine_.start(*id));
    if (!ok) return pass(ok.error());
    return id;
  }

  asio::io_context io_;
  net::HttpClient http_{io_.get_executor()};
  std::string socket_ = find_engine_socket(this_host()).value_or("");
  DockerEngine engine_{http_, {.socket = socket_}};
  std::string owner_, image_;
  std::vector<ContainerEvent> events_;
  std::vector<Error> lost_;
  int connected_ = 0;
  int number_ = 0;
};

TEST_F(RealEvents, ADeathIsToldAtOnceWithItsCode) {
  EventsFeed feed(io_.get_executor(), http_, {.socket = socket_, .owner = owner_}, handlers());
  feed.start();
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return connected_ == 1; }));
  const auto id = started({"sleep", "60"});
  ASSERT_TRUE(id) << describe(id.error());
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return find(EventType::start, *id) != nullptr; }));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(run(engine_.kill(*id, SIGKILL)));
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return find(EventType::die, *id) != nullptr; }));
  RecordProperty("die_ms",
                 static_cast<int>((std::chrono::steady_clock::now() - begin) / std::chrono::milliseconds(1)));
  const auto* die = find(EventType::die, *id);
  EXPECT_EQ(die->exit_code, 137);
  EXPECT_EQ(die->labels.at(std::string(kAgentLabel)), "a");
  EXPECT_EQ(die->container_name, owner_ + "-1");
  EXPECT_GT(die->time_ns, 1'600'000'000'000'000'000);
  ASSERT_TRUE(run(engine_.remove(*id)));
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return find(EventType::destroy, *id) != nullptr; }));
}

TEST_F(RealEvents, OutOfMemoryIsToldOfTheMainProcessAndOfAChild) {
  EventsFeed feed(io_.get_executor(), http_, {.socket = socket_, .owner = owner_}, handlers());
  feed.start();
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return connected_ == 1; }));
  const std::string eat = "dd if=/dev/zero of=/dev/null bs=200M count=1 2>/dev/null";
  const auto child = started({"sh", "-c", "(" + eat + "); sleep 60"});
  ASSERT_TRUE(child) << describe(child.error());
  EXPECT_TRUE(eventually(Millis{5000}, [&] { return find(EventType::oom, *child) != nullptr; }));
  EXPECT_EQ(run(engine_.inspect(*child))->state, ContainerState::running) << "the child alone was killed";
  const auto main = started({"sh", "-c", "exec " + eat});
  ASSERT_TRUE(main) << describe(main.error());
  EXPECT_TRUE(
      eventually(Millis{5000}, [&] { return find(EventType::oom, *main) && find(EventType::die, *main); }));
  EXPECT_EQ(find(EventType::die, *main)->exit_code, 137);
}

TEST_F(RealEvents, ABreakLosesAndDoublesNothing) {
  const std::string path = fmt::format("/tmp/test-engine-relay-{}.sock", ::getpid());
  Relay relay(io_, path, socket_);
  EventsFeed feed(io_.get_executor(), http_, {.socket = path, .owner = owner_, .retry_first = Millis{150}},
                  handlers());
  feed.start();
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return connected_ == 1; }));
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    const auto id = started({"true"});
    ASSERT_TRUE(id) << describe(id.error());
    ids.push_back(*id);
    ASSERT_TRUE(run(engine_.wait(*id)));
    relay.cut();  // what happens until the feed is back must not be missed
    EXPECT_EQ(lost_.size(), static_cast<std::size_t>(i));
    const auto dark = started({"false"});
    ASSERT_TRUE(dark);
    ids.push_back(*dark);
    ASSERT_TRUE(eventually(Millis{5000}, [&] { return connected_ == i + 2; }));
    EXPECT_FALSE(lost_.back().what.empty());
  }
  for (const auto& id : ids) {
    ASSERT_TRUE(eventually(Millis{3000}, [&] { return find(EventType::die, id) != nullptr; }));
  }
  EXPECT_EQ(count(EventType::die), 6);
  EXPECT_EQ(count(EventType::start), 6);
  EXPECT_EQ(count(EventType::create), 6);
}

TEST_F(RealEvents, OthersEventsAreNotSeen) {
  EventsFeed feed(io_.get_executor(), http_, {.socket = socket_, .owner = "test-engine-nobody"}, handlers());
  EventsFeed mine(io_.get_executor(), http_, {.socket = socket_, .owner = owner_}, {{}, {}, {}});
  feed.start();
  mine.start();
  ASSERT_TRUE(eventually(Millis{2000}, [&] { return connected_ == 1 && mine.is_connected(); }));
  const auto id = started({"true"});
  ASSERT_TRUE(run(engine_.wait(*id)));
  ASSERT_TRUE(run(engine_.remove(*id)));
  ASSERT_TRUE(run(engine_.ping()));
  EXPECT_TRUE(events_.empty());
}

}  // namespace
}  // namespace agentmesh::sandbox
