#pragma once
// A private tmux server for one test, and the loop that drives it.

#include "tests/fakes/programs.h"
#include "tmux/control_tmux.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <signal.h>
#include <sstream>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace agentmesh::tmux {

struct ServerFixture : testing::Test {
  boost::asio::io_context context;
  TmuxOptions options{.socket = fmt::format("test-tmux-{}-{}", ::getpid(), ++count())};
  std::vector<Event> events;
  std::unique_ptr<ControlTmux> tmux = connect();
  std::filesystem::path folder = std::filesystem::temp_directory_path() / options.socket;

  static int& count() {
    static int servers = 0;
    return servers;
  }
  std::unique_ptr<ControlTmux> connect() {
    return std::make_unique<ControlTmux>(context.get_executor(), options,
                                         [this](const Event& event) { events.push_back(event); });
  }
  void SetUp() override { std::filesystem::create_directories(folder); }
  void TearDown() override {
    const auto server = wait(tmux->ensure());
    wait(tmux->kill_server());
    if (server) std::filesystem::remove(server->socket_path);  // tmux leaves its socket behind
    std::filesystem::remove_all(folder);
  }

  template <class T>
  Result<T> wait(Task<T> task) {
    std::optional<Result<T>> result;
    boost::asio::co_spawn(context, std::move(task), [&](std::exception_ptr problem, Result<T> value) {
      if (problem) std::rethrow_exception(problem);
      result = std::move(value);
    });
    context.restart();
    while (!result && context.run_one() > 0) continue;
    return std::move(*result);
  }
  // Runs the loop until the condition holds; false when the limit passes first.
  bool eventually(Millis limit, const std::function<bool()>& holds) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
      if (std::chrono::steady_clock::now() > until) return false;
      context.restart();
      context.run_for(Millis{5});
    }
    return true;
  }

  Pane open(const std::string& name, std::vector<std::string> argv) {
    auto pane =
        wait(tmux->open({.session = "agentmesh-" + name, .argv = std::move(argv), .size = {100, 30}}));
    if (!pane) throw std::runtime_error(describe(pane.error()));
    return *pane;
  }
  // The newest state that was pushed about a pane.
  std::optional<Pane> pushed(PaneId id) const {
    for (auto event = events.rbegin(); event != events.rend(); ++event) {
      const auto* changed = std::get_if<PaneChanged>(&*event);
      if (changed != nullptr && changed->pane.id == id) return changed->pane;
    }
    return std::nullopt;
  }
  bool has_title(PaneId id, const std::string& title) const {
    const auto pane = pushed(id);
    return pane && pane->title == title;
  }
  template <class E>
  bool has_event() const {
    return std::ranges::any_of(events, [](const Event& event) { return std::holds_alternative<E>(event); });
  }
  std::string screen(PaneId id) {
    return wait(tmux->capture(id, 0, Rendering::text)).value_or("<no capture>");
  }

  // What a person runs beside us: `tmux ARGUMENTS` on this server. Its output without the last newline.
  std::string tmux_cli(const std::string& arguments) const {
    FILE* pipe = ::popen(("tmux -L " + options.socket + " " + arguments).c_str(), "r");
    std::string text;
    char chunk[4096];
    while (const std::size_t size = std::fread(chunk, 1, sizeof chunk, pipe)) text.append(chunk, size);
    EXPECT_EQ(::pclose(pipe), 0) << arguments;
    return text.substr(0, text.find_last_not_of('\n') + 1);
  }

  struct Work {
    long ticks;   // of CPU time, 10 ms each
    long faults;  // of children that were waited for: each has some
  };
  static Work work_of(pid_t pid) {
    const std::string stat = read("/proc/" + std::to_string(pid) + "/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));  // its name may have spaces in it
    const std::vector<std::string> all{std::istream_iterator<std::string>(fields), {}};
    return {.ticks = std::stol(all.at(11)) + std::stol(all.at(12)), .faults = std::stol(all.at(8))};
  }

  static std::string read(const std::filesystem::path& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
};

}  // namespace agentmesh::tmux
