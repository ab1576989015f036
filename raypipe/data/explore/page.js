"use strict";
{
  const at = (id) => document.getElementById(id);
  const [tools, cards, search, kind, sort, remarked, shown] =
    ["tools", "cards", "search", "kind", "sort", "remarked", "shown"].map(at);
  const all = [...cards.children];
  const number = (card, key) => Number(card.dataset[key]);
  const place = (card) => Number(card.id.slice(1));
  const orders = {
    place: (a, b) => place(a) - place(b),
    name: (a, b) => (a.dataset.name < b.dataset.name ? -1 : a.dataset.name > b.dataset.name ? 1 : 0),
  };
  const descending = (key) => (a, b) => number(b, key) - number(a, key) || place(a) - place(b);
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    let n = 0;
    for (const card of all) {
      const fits =
        card.dataset.name.includes(wanted) &&
        (!kind.value || card.dataset.kind === kind.value) &&
        (!remarked.checked || number(card, "remarks") > 0);
      card.hidden = !fits;
      n += fits;
    }
    shown.value = n === all.length ? `${n} columns` : `${n} of ${all.length} columns`;
  };
  const arrange = () => {
    cards.append(...[...all].sort(orders[sort.value] || descending(sort.value)));
  };
  const reveal = () => {
    const card = location.hash && at(location.hash.slice(1));
    if (card && card.hidden) {
      search.value = kind.value = "";
      remarked.checked = false;
      show();
      card.scrollIntoView();
    }
  };
  tools.hidden = false;
  tools.addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", show);
  for (const one of [kind, remarked]) one.addEventListener("change", show);
  sort.addEventListener("change", arrange);
  addEventListener("hashchange", reveal);
}
