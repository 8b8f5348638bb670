// JSON Schemas in words: the fields of a body, their types, and an example that has them.
const resolved = (schema, document) => {
  if (!schema?.$ref) return schema || {};
  return schema.$ref.slice(2).split("/").reduce((place, name) => place[name], document);
};

/** The fields of an object, those inside of lists of objects too, by dotted names. */
export function fieldsOf(given, document, prefix = "") {
  const schema = resolved(given, document);
  return Object.entries(schema.properties || {}).flatMap(([name, property]) => {
    const own = resolved(property, document);
    const field = { name: prefix + name, schema: own, isRequired: (schema.required || []).includes(name) };
    const items = own.type === "array" ? resolved(own.items, document) : own;
    return [field, ...fieldsOf(items, document, `${prefix}${name}${own.type === "array" ? "[]" : ""}.`)];
  });
}

export function typeOf(given, document) {
  const schema = resolved(given, document);
  const choices = schema.oneOf || schema.anyOf?.filter((choice) => choice.type || choice.$ref);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (!schema.type && choices?.length) return [...new Set(choices.map((choice) => typeOf(choice, document)))].join(" or ");
  if (schema.type === "array") return `list of ${typeOf(schema.items || {}, document)}`;
  const types = [schema.type || "any JSON"].flat().join(" or ");
  return [types, schema.format && `(${schema.format})`, ...limits(schema)].filter(Boolean).join(" ");
}

function limits({ minimum, maximum, default: usual }) {
  const from = minimum !== undefined && Math.abs(minimum) < 1e15 ? `from ${minimum}` : null;
  const to = maximum !== undefined && maximum < 1e15 ? `to ${maximum}` : null;
  return [from, to, usual !== undefined && usual !== null ? `by default ${JSON.stringify(usual)}` : null];
}

const EXAMPLES = { integer: 1, number: 0.5, string: "…", boolean: true, null: null };
const NAMED = { instance: "…", label: "8", prediction_id: "5c1d….0", task: "morning", instances: ["…"] };

/** A body with the required fields, or with all where none is required. */
export function exampleOf(given, document) {
  const schema = resolved(given, document);
  if (schema.enum) return schema.enum[0];
  if (schema.type === "array") return [exampleOf(schema.items || {}, document)];
  if (schema.properties) {
    const wanted = [...(schema.required || []), ...(schema.anyOf?.[0]?.required || [])];
    const names = wanted.length ? [...new Set(wanted)] : Object.keys(schema.properties);
    return Object.fromEntries(names.map((name) => [name, NAMED[name] ?? exampleOf(schema.properties[name], document)]));
  }
  const type = [schema.type].flat()[0] || schema.oneOf?.[0]?.type || schema.anyOf?.[0]?.type;
  return type === "object" ? {} : EXAMPLES[type] ?? "…";
}
