// Shows the stages of the newest round as they change, and how far the running one is. Everything is set as text.
const live = document.getElementById("live");
const show = (id, text) => { document.getElementById(id).textContent = text ?? "–"; };
const source = new EventSource(live.dataset.events);
source.onmessage = ({ data }) => {
  const told = JSON.parse(data);
  show("live-status", told.status);
  show("live-order", told.order);
  show("live-round", told.round);
  document.getElementById("live-stages").replaceChildren(...told.stages.map((stage) => {
    const item = document.createElement("li");
    item.textContent = `${stage.name}: ${stage.status}, ${stage.seconds} s`;
    return item;
  }));
  const bar = document.getElementById("live-bar");
  document.getElementById("live-work").hidden = told.work === null;
  document.getElementById("live-line").textContent = told.work?.line ?? "";
  if (told.work?.total) { bar.max = told.work.total; bar.value = told.work.done; } else { bar.removeAttribute("value"); }
};
