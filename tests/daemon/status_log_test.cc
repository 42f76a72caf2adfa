#include "daemon/status_log.h"

#include "base/files.h"

#include <unistd.h>

#include <gtest/gtest.h>

namespace agentmesh::daemon {
namespace {

namespace fs = std::filesystem;

class StatusLogTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_dir(folder_, 0700));
    journal_.emplace(std::move(*Journal::open(folder_ / "state.db")));
    events_.emplace(*journal_, clock_);
    listening_ =
        events_->listen([this](const EventRow& row) { told_ += row.agent + ":" + row.reason + " "; });
  }
  void TearDown() override { fs::remove_all(folder_); }
  // Until every timer has run out.
  void settle() {
    io_.restart();
    io_.run();
  }

  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-status-log-" + std::to_string(::getpid()));
  boost::asio::io_context io_;
  SystemClock clock_;
  std::optional<Journal> journal_;
  std::optional<EventLog> events_;
  std::shared_ptr<void> listening_;
  std::string told_;
};

TEST_F(StatusLogTest, OfWhatFlapsTheFirstAndTheNewestAreTold) {
  StatusLog statuses(io_, *events_, Millis{20});
  for (int i = 0; i < 50; ++i) statuses.tell("a", i % 2 == 0 ? "busy" : "idle");
  statuses.tell("b", "busy");
  EXPECT_EQ(told_, "a:busy b:busy ");
  settle();
  EXPECT_EQ(told_, "a:busy b:busy a:idle ");
  statuses.tell("a", "busy");
  EXPECT_EQ(told_, "a:busy b:busy a:idle a:busy ") << "quiet for long enough: at once";
}

TEST_F(StatusLogTest, WhatCameBackIsNotToldTwice) {
  StatusLog statuses(io_, *events_, Millis{20});
  for (const char* status : {"busy", "idle", "busy"}) statuses.tell("a", status);
  settle();
  EXPECT_EQ(told_, "a:busy ");
}

TEST_F(StatusLogTest, WhatFollowsComesAfterTheStatusThatWaits) {
  StatusLog statuses(io_, *events_, Millis{20});
  statuses.tell("a", "busy");
  statuses.tell("a", "restarting");
  statuses.flush("a");
  statuses.flush("a");
  statuses.flush("nobody");
  EXPECT_EQ(told_, "a:busy a:restarting ");
  statuses.tell("a", "up");
  statuses.stop();
  settle();
  EXPECT_EQ(told_, "a:busy a:restarting ") << "stopped";
}

}  // namespace
}  // namespace agentmesh::daemon
