// Runs features one after another and prints, as JSON, what each came to: "" when it works, else why not.

export const url = process.env.GATEWAY;
export const messages = [{ role: "user", content: "Write one sentence about the sea." }];
export const schema = {
  type: "object",
  properties: { city: { type: "string", maxLength: 20 } },
  required: ["city"],
  additionalProperties: false,
};
export const tooLong = "sea ".repeat(8000);

export function check(value, what) {
  if (!value) throw new Error(`not so: ${what}`);
}

export async function fails(promise, kind, words) {
  try {
    await promise;
  } catch (error) {
    check(error instanceof kind, `${error.constructor.name} is a ${kind.name}`);
    check(error.message.includes(words), `"${error.message}" says ${words}`);
    return;
  }
  throw new Error("it was answered");
}

export async function run(features) {
  const shown = {};
  for (const [name, feature] of Object.entries(features)) {
    try {
      await feature();
      shown[name] = "";
    } catch (error) {
      shown[name] = String(error.stack ?? error);
    }
  }
  console.log(JSON.stringify(shown));
}
