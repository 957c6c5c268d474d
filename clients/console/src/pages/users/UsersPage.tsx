import { useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../../api/client";
import { usePagedList } from "../../api/paged";
import { useQuery } from "../../shell/query";
import { text } from "../../text";
import { Button } from "../../ui/controls";
import { Dialog } from "../../ui/dialog";
import { Filters, FilterSelect, Listed, SearchField, Table } from "../../ui/list";
import { Ago, Empty, PageHead } from "../../ui/show";
import { Invites } from "./invites";

const t = text.users;
export const TIERS = ["free", "basic", "pro", "enterprise"] as const satisfies readonly Schemas["Tier"][];

export default function UsersPage() {
  const [query, change] = useQuery("search", "tier", "role", "active");
  const [isInviting, setInviting] = useState(false);
  const list = usePagedList(`users?${JSON.stringify(query)}`, async (cursor) => {
    const page = await unwrap(api.GET("/api/v1/admin/users", {
      params: {
        query: {
          cursor,
          limit: 50,
          search: query.search || null,
          tier: (query.tier || null) as Schemas["Tier"] | null,
          role: (query.role || null) as Schemas["Role"] | null,
          is_active: query.active ? query.active === "true" : null,
        },
      },
    }));
    return { items: page.users, next: page.next_cursor };
  });
  return (
    <>
      <PageHead title={t.title} intro={t.intro}>
        <Button icon="plus" onClick={() => setInviting(true)}>{t.invites}</Button>
      </PageHead>
      <Filters>
        <SearchField label={t.search} value={query.search} onValue={(search) => change({ search })} />
        <FilterSelect label={t.tier} value={query.tier} options={TIERS.map((tier) => [tier, tier])} onValue={(tier) => change({ tier })} />
        <FilterSelect label={t.role} value={query.role} options={[["user", t.roles.user], ["admin", t.roles.admin]]} onValue={(role) => change({ role })} />
        <FilterSelect label={t.state} value={query.active} options={[["true", t.active], ["false", t.disabled]]} onValue={(active) => change({ active })} />
      </Filters>
      <Listed list={list} empty={<Empty icon="users" title={t.empty}><p>{t.emptyHint}</p></Empty>}>
        {(users) => (
          <Table label={t.title} columns={t.columns}>
            {users.map((user) => (
              <tr key={user.id}>
                <td><a href={`/users/${user.id}`}>{user.username}</a></td>
                <td>{user.email}</td>
                <td><span class="badge plain">{user.tier}</span>{user.own_limits.length > 0 && <span class="soft small"> {t.ownLimits}</span>}</td>
                <td>{t.roles[user.role]}</td>
                <td><span class={`badge ${user.is_active ? "good" : "bad"}`}>{user.is_active ? t.active : t.disabled}</span></td>
                <td><Ago at={user.created_at} /></td>
              </tr>
            ))}
          </Table>
        )}
      </Listed>
      {isInviting && <Dialog title={t.invites} onClose={() => setInviting(false)} isWide isOneTime><Invites /></Dialog>}
    </>
  );
}
