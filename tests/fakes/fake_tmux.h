#pragma once
// A Tmux without tmux: it keeps panes in memory, records every call as one line of text, and fails when told.

#include "tmux/tmux.h"

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

namespace agentmesh::tmux {

class FakeTmux final : public Tmux {
 public:
  std::vector<std::string> calls;                      // "paste %1 hello"
  std::map<std::string, std::vector<Error>> failures;  // by the call's first word, used up from the front
  std::map<PaneId, Pane> panes;
  std::map<PaneId, std::string> screens;
  std::optional<LastKey> pressed;                   // by a person
  std::function<void(const std::string&)> on_call;  // after a call succeeded

  Task<ServerInfo> ensure() override {
    if (auto error = record("ensure")) co_return pass(*error);
    co_return ServerInfo{.version = "3.3a", .pid = 1, .socket_path = "/fake"};
  }
  Task<Pane> open(OpenSpec spec) override {
    if (auto error = record("open " + spec.session)) co_return pass(*error);
    for (const auto& [id, pane] : panes) {
      if (pane.session == spec.session) co_return fail(ErrorCode::conflict, "tmux", "duplicate session");
    }
    const Pane pane{.session = spec.session, .id = PaneId{++last_}, .pid = 1000, .size = spec.size};
    panes[pane.id] = pane;
    co_return pane;
  }
  Task<> close(std::string session) override {
    if (auto error = record("close " + session)) co_return pass(*error);
    std::erase_if(panes, [&](const auto& entry) { return entry.second.session == session; });
    co_return Result<>{};
  }
  Task<std::vector<Pane>> list() override {
    if (auto error = record("list")) co_return pass(*error);
    std::vector<Pane> all;
    for (const auto& [id, pane] : panes) all.push_back(pane);
    co_return all;
  }
  Task<std::string> capture(PaneId pane, int history_lines, Rendering) override {
    if (auto error = record(fmt::format("capture {} {}", pane.str(), history_lines))) co_return pass(*error);
    co_return screens[pane];
  }
  Task<Pane> respawn(PaneId pane, std::vector<std::string>) override {
    if (auto error = record("respawn " + pane.str())) co_return pass(*error);
    panes[pane].dead = false;
    co_return panes[pane];
  }
  Task<std::optional<LastKey>> last_key(PaneId pane) override {
    if (auto error = record("last_key " + pane.str())) co_return pass(*error);
    co_return pressed;
  }
  Task<> paste(PaneId pane, std::string text, PasteMarks marks) override {
    if (marks == PasteMarks::required && !panes[pane].brackets_pastes)
      co_return fail(ErrorCode::conflict, "tmux", "the program has not asked for bracketed pastes");
    co_return done("paste " + pane.str() + " " + text);
  }
  Task<> press(PaneId pane, std::vector<std::string> keys) override {
    std::string line = "press " + pane.str();
    for (const std::string& key : keys) line += " " + key;
    co_return done(line);
  }
  Task<> announce(std::string session, std::string text) override {
    co_return done("announce " + session + " " + text);
  }
  Task<> notify_desktop(std::string title, std::string text) override {
    co_return done("notify_desktop " + title + ": " + text);
  }
  Task<> kill_server() override { co_return done("kill_server"); }

 private:
  std::optional<Error> record(const std::string& line) {
    calls.push_back(line);
    std::vector<Error>& planned = failures[line.substr(0, line.find(' '))];
    if (!planned.empty()) {
      Error error = planned.front();
      planned.erase(planned.begin());
      return error;
    }
    if (on_call) on_call(line);
    return std::nullopt;
  }
  Result<> done(const std::string& line) {
    if (auto error = record(line)) return pass(*error);
    return {};
  }

  std::uint32_t last_ = 0;
};

}  // namespace agentmesh::tmux
