#pragma once
// A hub on loopback in this process, with a client of the daemon's kind beside it and raw HTTP for bad
// manners.

#include "base/json.h"
#include "hub/client.h"
#include "hub/server.h"
#include "hub/store.h"
#include "net/http_client.h"
#include "tests/fakes/eventually.h"
#include "tests/fakes/raw_client.h"

#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace agentmesh::hub {

constexpr Millis kLimit{10'000};

// What a daemon would keep: items by id and attempt, and what it was told.
struct FakeJournal {
  std::map<std::string, InboxItem> items;       // by "id/attempt"
  std::map<std::string, int> told;              // how often each came
  std::map<std::string, std::string> reported;  // id: what the hub took, or its error
  std::vector<std::string> unknown;
  std::vector<InboxItem> changed;
  int fresh = 0;
  bool disk_full = false;
};

class HubFixture : public ::testing::Test {
 protected:
  HubFixture() : http_(io_.get_executor()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "agentmesh-hub-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    options_.sweep_every = Millis{20};
  }
  ~HubFixture() override {
    clients_.clear();
    stop_hub();
    io_.poll();
    std::filesystem::remove_all(folder_);
  }

  std::string database() const { return (folder_ / "hub.db").string(); }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", options_.port); }

  // The first start picks a port, later ones take it again.
  void start_hub() {
    store_ = open_sqlite_store(database()).value();
    key_ = ensure_admin_key(*store_, folder_ / "hub.key", clock_.now()).value();
    hub_ = std::make_unique<HubServer>(io_, *store_, clock_, options_);
    const auto port = hub_->start();
    ASSERT_TRUE(port) << describe(port.error());
    options_.port = *port;
  }
  // As a kill: nothing is said to anybody, and the store is gone at once.
  void stop_hub() {
    hub_.reset();
    store_.reset();
  }
  void restart_hub() {
    stop_hub();
    io_.poll();
    start_hub();
  }

  HubClient& add_client(FakeJournal& journal, std::string host = "h1") {
    HubClientOptions options{.url = url(), .key = key_, .host = std::move(host)};
    options.sync_every = Millis{200};
    options.backoff_first = Millis{5};
    options.backoff_most = Millis{50};
    clients_.push_back(make_hub_client(io_, http_, std::move(options)));
    clients_.back()->start(events(journal));
    return *clients_.back();
  }

  static HubEvents events(FakeJournal& journal) {
    return {.on_assignment = [&journal](const InboxItem& item) -> Result<void> {
              if (journal.disk_full) return fail(ErrorCode::exhausted, "journal", "the disk is full");
              const auto key = fmt::format("{}/{}", item.id, item.attempt);
              journal.items.emplace(key, item);
              ++journal.told[key];
              return {};
            },
            .on_reported =
                [&journal](const ItemReport& report, const Result<void>& taken) {
                  journal.reported[report.item_id] = taken ? std::string(to_string(report.state))
                                                           : std::string(to_string(taken.error().code));
                },
            .on_unknown_agent = [&journal](const std::string& id) { journal.unknown.push_back(id); },
            .on_fresh = [&journal] { ++journal.fresh; },
            .on_item_changed = [&journal](const InboxItem& item) { journal.changed.push_back(item); },
            .on_connection = [](bool) {}};
  }

  template <class T>
  Result<T> wait_for(Task<T> task) {
    return test::complete(io_, std::move(task), kLimit);
  }
  template <class Condition>
  bool soon(Condition condition) {
    return test::eventually(io_, kLimit, condition);
  }

  std::string add_agent(HubClient& client, std::string name, std::string host = "h1",
                        std::optional<std::string> agent_id = std::nullopt) {
    const auto registered = wait_for(client.register_agent({.name = std::move(name),
                                                            .host = std::move(host),
                                                            .runner = "codex",
                                                            .agent_id = std::move(agent_id)}));
    EXPECT_TRUE(registered) << describe(registered.error());
    if (!registered) return "";
    token_ = registered->token;
    return registered->agent_id;
  }
  AgentState idle(std::string id, std::int64_t version) const {
    return {.agent_id = std::move(id), .version = version, .status = "idle", .status_since = clock_.now()};
  }

  struct Answer {
    int status;
    nlohmann::json body;
    std::vector<net::HttpHeader> headers;
  };
  Answer ask(std::string method, std::string target, std::string body = "",
             std::optional<std::string> key = std::nullopt) {
    const auto answer =
        wait_for(http_.send({.method = std::move(method),
                             .url = url() + target,
                             .headers = {{"Authorization", "Bearer " + key.value_or(key_.reveal())}},
                             .body = std::move(body)}));
    EXPECT_TRUE(answer) << describe(answer.error());
    if (!answer) return {0, nullptr, {}};
    return {answer->status, parse_json(answer->body, "test").value_or(nullptr), answer->headers};
  }

  boost::asio::io_context io_;
  net::HttpClient http_;
  ManualClock clock_;
  std::filesystem::path folder_;
  HubOptions options_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<HubServer> hub_;
  std::vector<std::unique_ptr<HubClient>> clients_;
  Secret key_;
  std::string token_;
};

}  // namespace agentmesh::hub
