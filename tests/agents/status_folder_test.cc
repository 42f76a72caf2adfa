#include "agents/status_folder.h"

#include <chrono>
#include <fstream>
#include <functional>
#include <unistd.h>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh::agents {
namespace {

namespace fs = std::filesystem;
using Steady = std::chrono::steady_clock;

class StatusFolderTest : public testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder_ / "sessions"); }
  void TearDown() override { fs::remove_all(folder_); }

  void open() {
    status_.emplace(io_.get_executor(), folder_, "sessions", [this](const std::vector<std::string>& texts) {
      ++readings_;
      texts_ = texts;
    });
    status_->look();
  }
  void write(std::string_view text) const { std::ofstream(folder_ / "sessions/7.json") << text; }
  bool eventually(const std::function<bool()>& holds) {
    const auto limit = Steady::now() + std::chrono::seconds(10);
    while (!holds()) {
      if (Steady::now() > limit) return false;
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  fs::path folder_ = fs::temp_directory_path() / ("agentmesh-status-" + std::to_string(::getpid()));
  boost::asio::io_context io_;
  std::optional<StatusFolder> status_;
  int readings_ = 0;
  std::vector<std::string> texts_;
};

TEST_F(StatusFolderTest, WhatChangesWithoutEndIsReadMoreAndMoreSeldomAndItsLastTextIsTold) {
  open();
  int written = 0;
  std::size_t turns = 0;
  const auto write_until = [&](const std::function<bool()>& ended) {
    const auto limit = Steady::now() + std::chrono::seconds(10);
    while (!ended() && Steady::now() < limit) {
      write(std::to_string(++written));
      turns += io_.poll();
    }
  };
  write_until([&] { return readings_ >= 5; });  // 20, 40, ... apart: the next one is 160 ms away or more
  const auto later = Steady::now() + std::chrono::milliseconds(500);
  const int watched = std::exchange(readings_, 0);
  written = 0;
  turns = 0;
  write_until([&] { return Steady::now() > later; });
  EXPECT_EQ(watched, 5);
  EXPECT_LE(readings_, 4) << "of " << written << " changes";
  EXPECT_LE(turns, 40U) << "the changes in between wake nobody";
  write("the last");
  EXPECT_TRUE(eventually([&] { return texts_ == std::vector<std::string>{"the last"}; }));
}

TEST_F(StatusFolderTest, AfterAQuietTimeAChangeIsReadAtOnceAgain) {
  open();
  const auto until = Steady::now() + std::chrono::milliseconds(300);
  for (int i = 0; Steady::now() < until; ++i) {
    write(std::to_string(i));
    io_.poll();
  }
  write("quiet");
  ASSERT_TRUE(eventually([&] { return texts_ == std::vector<std::string>{"quiet"}; }));
  const auto quiet = Steady::now() + std::chrono::milliseconds(1'500);
  while (Steady::now() < quiet) {
    io_.restart();
    io_.run_one_for(std::chrono::milliseconds(20));
  }
  const int before = readings_;
  write("new");
  ASSERT_TRUE(eventually([&] { return texts_ == std::vector<std::string>{"new"}; }));
  EXPECT_EQ(readings_, before + 1) << "watched again, and read once";
}

TEST_F(StatusFolderTest, AFileThatIsTooLargeIsNotRead) {
  write(std::string(kMaxStatusBytes + 1, ' '));
  open();
  ASSERT_TRUE(eventually([&] { return readings_ == 1; }));
  EXPECT_TRUE(texts_.empty());
}

}  // namespace
}  // namespace agentmesh::agents
