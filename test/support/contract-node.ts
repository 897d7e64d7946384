import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { type Contract, closed, contractOf, type Schemas } from "./contract.ts";

const NAME = "muster:openapi.json";

/** Reads the document of a running Muster; `origin` as in {@link contractOf}. */
export async function readContract(origin: () => string): Promise<Contract> {
  const response = await fetch(new URL("/openapi.json", origin()));
  const document = (await response.json()) as object;
  return contractOf(document, ajvSchemas(document), origin);
}

/** The schemas of a document, as Ajv understands them. */
export function ajvSchemas(document: object): Schemas {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  formats.default(ajv);
  ajv.addSchema(closed(document) as object, NAME);
  const compiled = new Map<string, ValidateFunction>();
  return (pointer, value) => {
    const path = pointer.map((part) =>
      encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")),
    );
    const $ref = `${NAME}#/${path.join("/")}`;
    const validate = compiled.get($ref) ?? ajv.compile({ $ref });
    compiled.set($ref, validate);
    if (validate(value)) return [];
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${instancePath || "the body"} ${message} ${JSON.stringify(params)}`,
    );
  };
}
