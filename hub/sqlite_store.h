#pragma once
// The Store on SQLite. For hub/sqlite_store.cc and hub/sqlite_items.cc alone.

#include "base/sqlite.h"
#include "hub/store.h"

#include <string>
#include <string_view>

namespace agentmesh::hub {

class SqliteStore final : public Store {
 public:
  SqliteStore(Database database, std::string hub_id) : db_(std::move(database)), hub_id_(std::move(hub_id)) {}

  std::string hub_id() const override { return hub_id_; }
  Result<void> ready() override;

  Result<void> add_key(const KeyRow& key, std::string_view sha256, WallTime now) override;
  Result<KeyRow> find_key(std::string_view sha256, WallTime now) override;
  Result<std::size_t> count_keys() override;

  Result<Registered> register_agent(std::string_view tenant, const Registration& registration,
                                    std::string_view token_sha256, WallTime expires_at,
                                    WallTime now) override;
  Result<SyncAnswer> sync(std::string_view tenant, const Sync& news, WallTime expires_at,
                          WallTime now) override;
  Result<std::vector<AgentInfo>> list_agents(std::string_view tenant, std::string_view after_id,
                                             std::size_t limit) override;
  Result<AgentInfo> find_agent(std::string_view tenant, std::string_view id_or_name) override;

  Result<PostOutcome> post_item(std::string_view tenant, const NewItem& item, WallTime now) override;
  Result<InboxItem> get_item(std::string_view tenant, std::string_view item_id) override;
  Result<std::vector<InboxItem>> list_items(std::string_view tenant, const ItemFilter& filter) override;
  Result<InboxItem> report_item(std::string_view tenant, const ItemReport& report, WallTime now) override;
  Result<InboxItem> retry_item(std::string_view tenant, std::string_view item_id, WallTime now) override;
  Result<std::size_t> claim_items(WallTime seen_after, WallTime now) override;
  Result<std::size_t> sweep(WallTime now) override;

  Result<std::int64_t> last_change() override;
  Result<ChangePage> changes_after(std::string_view tenant, std::string_view host, std::int64_t cursor,
                                   std::size_t limit) override;

 private:
  // What a change is about. An assignment is told as the item; it is skipped once it is acknowledged.
  enum class Subject { agent, inbox, assignment };
  struct Change {
    std::int64_t seq;
    Subject subject;
    std::string id;
    WallTime at;
  };
  struct Placed {
    std::string agent_id;
    bool again;
  };

  // All of these run inside the caller's transaction.
  Result<std::optional<AgentInfo>> one_agent(std::string_view where, std::string_view a, std::string_view b,
                                             std::string_view c);
  Result<Placed> place_agent(std::string_view tenant, const Registration& registration, WallTime now);
  Result<Placed> new_agent(std::string_view tenant, const Registration& registration, WallTime now);
  Result<void> forget_host_copy(std::string_view agent_id, WallTime now);
  Result<std::optional<SyncedAgent>> put_state(std::string_view tenant, std::string_view host,
                                               const AgentState& state, WallTime expires_at, WallTime now);
  Result<InboxItem> apply_report(std::string_view tenant, const ItemReport& report, WallTime now);
  Result<std::optional<InboxItem>> find_item(std::string_view tenant, std::string_view id);
  Result<std::optional<PostOutcome>> same_post(std::string_view tenant, const NewItem& item,
                                               std::string_view fingerprint);
  Result<std::string> addressee(std::string_view tenant, const NewItem& item);
  Result<InboxItem> insert_item(std::string_view tenant, const NewItem& item, const std::string& agent_id,
                                std::string_view fingerprint, WallTime now);
  Result<void> set_state(const InboxItem& item, ItemState state, std::string_view reason, WallTime now);
  Result<void> queue_again(const InboxItem& item, std::string_view reason, WallTime now);
  Result<void> requeue_pushed(std::string_view agent_id, WallTime now);
  Result<bool> claim_one(WallTime seen_after, WallTime now);
  Result<std::size_t> expire_due(WallTime now);
  // The change's seq. Replaces the earlier change of the same object.
  Result<std::int64_t> add_change(Subject subject, std::string_view id, WallTime now);
  Result<std::optional<Frame>> agent_frame(std::string_view tenant, std::string_view host,
                                           const Change& change);
  Result<std::optional<Frame>> item_frame(std::string_view tenant, std::string_view host,
                                          const Change& change);
  static std::string_view name_of(Subject subject);

  Database db_;
  std::string hub_id_;
};

}  // namespace agentmesh::hub
