#include "agents/status_folder.h"

#include <chrono>
#include <fstream>
#include <unistd.h>

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
  std::size_t turns = 0;
  const auto until = Steady::now() + std::chrono::milliseconds(1'200);
  for (int i = 0; Steady::now() < until; ++i) {
    write(std::to_string(i));
    turns += io_.poll();
  }
  EXPECT_LE(readings_, 8) << "20, 40, ... 640 ms apart";
  EXPECT_GE(readings_, 1);
  EXPECT_LE(turns, 600U) << "the changes in between wake nobody";
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
